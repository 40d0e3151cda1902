// Holds states that a restore can or cannot give back.
//
//   process_states STATE…      see process_states.h
//
// verify is bad when one of them is not as it was.
#include "tests/workloads/process_states.h"

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

class HeldStates final : public Workload {
 public:
  JsonLine Report() override { return JsonLine().Number("held", held_); }
  std::string Verify() override { return states_.Verify(); }
  void Corrupt() override { states_.Corrupt(); }

  void Hold(const std::string& name) {
    if (!states_.Hold(name)) Die(name);
    ++held_;
  }

 private:
  ProcessStates states_;
  std::uint64_t held_ = 0;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("process_states", argc, argv);
  static HeldStates states;
  for (int i = 1; i < argc; ++i) states.Hold(argv[i]);
  Serve("process_states", states);
}
