import unittest

from checks.cpp_functions import functions_of
from checks.source_tree import code_lines, without_noise


def found(text):
    return [(function.name, function.first_line, function.lines) for function in functions_of(text)]


class FunctionsOfTest(unittest.TestCase):
    def test_finds_functions_in_namespaces_and_classes(self):
        text = """\
namespace cryopod {
namespace {
int First(int a) {
  if (a) {
    return 1;
  }
  return 2;
}
}  // namespace
class Thing {
 public:
  Thing() = default;
  int value() const { return value_; }
  bool operator==(const Thing& other) const {
    return true;
  }

 private:
  int value_ = 0;
};
}  // namespace cryopod
"""
        self.assertEqual([("First", 3, 6), ("value", 13, 1), ("operator", 14, 3)], found(text))

    def test_the_head_counts_however_long_it_is(self):
        text = """\
Result<std::vector<int>> Collect(
    int dir_fd,
    const std::function<Status(int)>& list) {
  return list(dir_fd);
}
"""
        self.assertEqual([("Collect", 1, 5)], found(text))

    def test_an_initialiser_is_no_function(self):
        text = """\
constexpr std::array<int, 2> kTable = {
    1, 2,
};
enum class Color {
  kRed,
};
struct Point {
  int x{0};
};
const auto kCall = [](int a) {
  return a;
};
"""
        self.assertEqual([], found(text))

    def test_a_constructor_with_a_list_is_one_function(self):
        text = """\
Thing::Thing(int a)
    : a_(a),
      b_{1} {
  Run();
}
int Next() { return 1; }
"""
        self.assertEqual([("Thing::Thing", 1, 5), ("Next", 6, 1)], found(text))

    def test_braces_in_literals_and_comments_do_not_count(self):
        text = """\
int F() {
  const char* a = "}";  // }
  const char b = '}';
  const char* c = R"x(} ")x";
  const int d = 1'000'000;
  return 0;
}
int G() { return 1; }
"""
        self.assertEqual([("F", 1, 7), ("G", 8, 1)], found(text))

    def test_directives_are_passed_over(self):
        text = """\
#define OPEN(x) \\
  do {          \\
    x
int F() {
  return 1;
}
"""
        self.assertEqual([("F", 4, 3)], found(text))


class SourceTextTest(unittest.TestCase):
    def test_blanking_keeps_lines_and_columns(self):
        text = 'int a; /* x\n y */ int b; // "\nchar c = \'"\';\n'

        self.assertEqual(len(text), len(without_noise(text)))
        self.assertEqual(text.count("\n"), without_noise(text).count("\n"))
        self.assertIn("int b;", without_noise(text))

    def test_a_line_of_code_holds_more_than_a_comment(self):
        self.assertEqual(2, code_lines("a.cc", "// x\n\nint a;  // y\n/* z\n*/\nint b;\n"))
        self.assertEqual(1, code_lines("a.py", "# x\n\na = 1  # y\n"))


if __name__ == "__main__":
    unittest.main()
