#pragma once

namespace cryopod {

// For a steady process of many threads: what they free goes back to the kernel, at the price of
// more system calls. Before the first thread.
void KeepHeapSmall();

}  // namespace cryopod
