#include "services/relay/relay_service.h"

int main(int argc, char** argv) {
  dotagent::relay_service::Options options;
  return dotagent::host::RunService(
      argc, argv, "relay", "Carries sealed bytes between nodes that cannot reach each other.", options.host,
      [&](dotagent::OptionTable& table) { options.AddTo(table); },
      [&] { return dotagent::relay_service::Start(options); });
}
