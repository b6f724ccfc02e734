#include "services/identity/identity_service.h"

int main(int argc, char** argv) {
  dotagent::identity_service::Options options;
  return dotagent::host::RunService(
      argc, argv, "identity", "Issues certificates to agents, takes revocations and tells everyone of them.",
      options.host, [&](dotagent::OptionTable& table) { options.AddTo(table); },
      [&] { return dotagent::identity_service::Start(options); });
}
