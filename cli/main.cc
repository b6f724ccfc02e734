#include "cli/command.h"

int main(int argc, char** argv) { return dotagent::cli::Main(argc, argv); }
