#include "common/rpc/interpose.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace dotagent::rpc {

void* NextDefinition(const char* symbol) { return dlsym(RTLD_NEXT, symbol); }

absl::Status CheckInterposed(const char* symbol) {
  // What the dynamic linker resolves the name to is what gRPC calls.
  Dl_info first;
  Dl_info next;
  void* const found = dlsym(RTLD_DEFAULT, symbol);
  void* const original = NextDefinition(symbol);
  if (found == nullptr || original == nullptr || found == original || dladdr(found, &first) == 0 ||
      dladdr(original, &next) == 0 || first.dli_fbase == next.dli_fbase) {
    return absl::InternalError(absl::StrCat(
        "this program does not stand in front of gRPC, whose floods (CVE-2023-33953, CVE-2023-44487) it is "
        "to hold off: it must load libgrpc 1.51 as a shared library and export ",
        symbol));
  }
  return absl::OkStatus();
}

}  // namespace dotagent::rpc
