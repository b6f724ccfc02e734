#include "services/resolver/resolver_service.h"

int main(int argc, char** argv) {
  dotagent::resolver_service::Options options;
  return dotagent::host::RunService(
      argc, argv, "resolver", "Stores and resolves .agent names: a node of the DHT.", options.host,
      [&](dotagent::OptionTable& table) { options.AddTo(table); },
      [&] { return dotagent::resolver_service::Start(options); });
}
