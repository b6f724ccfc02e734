#include "services/gateway/gateway_service.h"

int main(int argc, char** argv) {
  dotagent::gateway_service::Options options;
  return dotagent::host::RunService(
      argc, argv, "gateway", "The agents' door: names, messages and channels.", options.host,
      [&](dotagent::OptionTable& table) { options.AddTo(table); },
      [&] { return dotagent::gateway_service::Start(options); });
}
