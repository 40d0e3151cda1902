// A program that needs nothing and does nothing: it can be alone in a root file system.
extern "C" [[noreturn]] void _start() {
  while (true) {
#if defined(__x86_64__)
    long number = 34;  // pause
    asm volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    // ppoll without descriptors and without an end.
    register long number asm("x8") = 73;
    register long first asm("x0") = 0;
    register long second asm("x1") = 0;
    register long third asm("x2") = 0;
    register long fourth asm("x3") = 0;
    asm volatile("svc 0"
                 : "+r"(first)
                 : "r"(number), "r"(second), "r"(third), "r"(fourth)
                 : "memory");
#else
#error "what waits here?"
#endif
  }
}
