// One option table a program: each option is a flag (--grpc-listen), a variable (DOTAGENT_GRPC_LISTEN) and a key of a
// TOML file (grpc-listen, read with --config). The flag wins over the variable, the variable over the file, the file
// over the default. Unknown flags and unknown keys are errors.
//
//   OptionTable table("dotagent-resolver", "Stores and resolves .agent names.");
//   table.Add("bootstrap", &options.bootstrap, "Multiaddr of a node to join through; repeatable");
//   table.AddExample("dotagent-resolver --data-dir /var/lib/dotagent --bootstrap /ip4/192.0.2.1/tcp/4001");
//   ASSIGN_OR_RETURN(const bool go_on, table.Parse(argc, argv));   // false: --help or --version was printed
#ifndef DOTAGENT_COMMON_BASE_CONFIG_H_
#define DOTAGENT_COMMON_BASE_CONFIG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace dotagent {

class OptionTable {
 public:
  OptionTable(const std::string& program, const std::string& description);
  ~OptionTable();

  // What `target` holds now is the default, shown in --help. Durations are written "10s", "5m", "24h".
  void Add(const std::string& name, std::string* target, const std::string& help);
  void Add(const std::string& name, std::vector<std::string>* target,
           const std::string& help);  // repeatable; comma-separated in the variable
  void Add(const std::string& name, uint64_t* target, const std::string& help);
  void Add(const std::string& name, double* target, const std::string& help);  // finite
  void Add(const std::string& name, bool* target, const std::string& help);
  void Add(const std::string& name, absl::Duration* target, const std::string& help);
  // Shown at the end of --help.
  void AddExample(const std::string& line);

  // InvalidArgument says which option is wrong and where it came from. false: --help or --version was asked for and
  // printed.
  [[nodiscard]] absl::StatusOr<bool> Parse(int argc, const char* const* argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The release, such as "0.1.0".
[[nodiscard]] std::string Version();

}  // namespace dotagent

#endif  // DOTAGENT_COMMON_BASE_CONFIG_H_
