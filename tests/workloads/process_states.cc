// Holds states that a restore can or cannot give back.
//
//   process_states STATE…      see process_states.h
//
// verify is bad when one of them is not as it was.
#include "tests/workloads/process_states.h"

#include "tests/workloads/workload.h"

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("process_states", argc, argv);
  static ProcessStates states;
  for (int i = 1; i < argc; ++i) {
    if (!states.Hold(argv[i])) Die(argv[i]);
  }
  Serve("process_states",
        {
            .report =
                [argc] { return JsonLine().Number("held", static_cast<std::uint64_t>(argc - 1)); },
            .verify = [] { return states.Verify(); },
            .corrupt = [] { states.Corrupt(); },
        });
}
