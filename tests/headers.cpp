// Holds the precompiled headers that all tests share (CMakeLists.txt); never linked.
int main() {}
