#include <string>
#include <vector>

#include "restore/runtime/wrapper.h"

int main(int argc, char** argv) {
  return cryopod::runtime::RunWrapper(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
