// The program in the stored archives: it needs no library and no file of an image, counts in its
// memory, and writes its count to /tick.count ten times a second. Made with
//   g++ -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie
// started from the writable layer of a container, and checkpointed: see old_archives_test.py.
namespace {

long Call(long number, long first, long second = 0, long third = 0) {
  long answer = 0;
  asm volatile("syscall"
               : "=a"(answer)
               : "a"(number), "D"(first), "S"(second), "d"(third)
               : "rcx", "r11", "memory");
  return answer;
}

constexpr long kWrite = 1, kOpen = 2, kClose = 3, kNanosleep = 35;
constexpr long kCreateTruncateWrite = 01101;

}  // namespace

extern "C" [[noreturn]] void _start() {
  static unsigned long count = 0;
  while (true) {
    char text[24];
    int at = sizeof text;
    text[--at] = '\n';
    unsigned long left = ++count;
    do {
      text[--at] = static_cast<char>('0' + left % 10);
      left /= 10;
    } while (left != 0);
    const long file = Call(kOpen, reinterpret_cast<long>("/tick.new"), kCreateTruncateWrite, 0644);
    Call(kWrite, file, reinterpret_cast<long>(text + at), static_cast<long>(sizeof text) - at);
    Call(kClose, file);
    constexpr long kRename = 82;
    Call(kRename, reinterpret_cast<long>("/tick.new"), reinterpret_cast<long>("/tick.count"));
    long pause[2] = {0, 100'000'000};
    Call(kNanosleep, reinterpret_cast<long>(pause));
  }
}
