#include "cli/main.h"

int main(int argc, char** argv) { return gemmsmith::cli::Main(argc, argv); }
