#include "services/host/mdns.h"

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/address.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/strlst.h>
#include <avahi-common/thread-watch.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/peer_id.h"
#include "common/telemetry/log.h"

namespace dotagent::host {
namespace {

constexpr char kServiceType[] = "_dotagent._tcp";
constexpr char kPeerKey[] = "peer";

void Warn(absl::string_view what, absl::string_view why) {
  telemetry::Log(telemetry::Level::kWarning, what, {{"error", std::string(why)}});
}

// The peer id in a TXT record; empty if there is none that is one.
std::string PeerIn(AvahiStringList* txt) {
  AvahiStringList* entry = avahi_string_list_find(txt, kPeerKey);
  char* value = nullptr;
  size_t size = 0;
  if (entry == nullptr || avahi_string_list_get_pair(entry, nullptr, &value, &size) != 0 || value == nullptr) return {};
  std::string peer(value, size);
  avahi_free(value);
  return crypto::KeyFromPeerId(peer).ok() ? peer : std::string();
}

}  // namespace

// All but Start and Stop runs on avahi's thread, which holds avahi's own lock meanwhile.
struct Mdns::Impl {
  explicit Impl(MdnsOptions in) : options(std::move(in)), name(absl::StrCat("dotagent ", options.peer_id)) {}

  [[nodiscard]] absl::Status Start() {
    poll = avahi_threaded_poll_new();
    if (poll == nullptr) return Failed("it has no memory");
    int error = 0;
    // NO_FAIL: without a daemon it waits for one.
    client = avahi_client_new(avahi_threaded_poll_get(poll), AVAHI_CLIENT_NO_FAIL, &Impl::OnClient, this, &error);
    if (client == nullptr) return Failed(avahi_strerror(error));
    if (avahi_threaded_poll_start(poll) < 0) return Failed("its thread does not start");
    return absl::OkStatus();
  }

  void Stop() {
    if (poll != nullptr) avahi_threaded_poll_stop(poll);
    // Takes group, browser and resolvers with it.
    if (client != nullptr) avahi_client_free(client);
    if (poll != nullptr) avahi_threaded_poll_free(poll);
  }

  [[nodiscard]] static absl::Status Failed(absl::string_view why) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kUnreachable,
                           absl::StrCat("multicast DNS does not start: ", why));
  }

  static void OnClient(AvahiClient* client, AvahiClientState state, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    // It calls from inside avahi_client_new, before that has returned.
    impl.client = client;
    switch (state) {
      case AVAHI_CLIENT_S_RUNNING:
        impl.Announce();
        impl.Browse();
        break;
      case AVAHI_CLIENT_S_COLLISION:
      case AVAHI_CLIENT_S_REGISTERING:
        // The host's name changes; RUNNING comes again.
        if (impl.group != nullptr) avahi_entry_group_reset(impl.group);
        break;
      case AVAHI_CLIENT_FAILURE:
        Warn("lost the connection to avahi-daemon", avahi_strerror(avahi_client_errno(client)));
        impl.Reconnect();
        break;
      case AVAHI_CLIENT_CONNECTING:
        Warn("multicast DNS waits for avahi-daemon", "it does not run");
        break;
    }
  }

  // A client that has failed is of no use any more.
  void Reconnect() {
    group = nullptr;
    browser = nullptr;
    seen.clear();
    resolving = 0;  // they go with the client
    avahi_client_free(std::exchange(client, nullptr));
    int error = 0;
    client = avahi_client_new(avahi_threaded_poll_get(poll), AVAHI_CLIENT_NO_FAIL, &Impl::OnClient, this, &error);
    if (client == nullptr) Warn("multicast DNS has ended", avahi_strerror(error));
  }

  void Announce() {
    if (group == nullptr) group = avahi_entry_group_new(client, &Impl::OnGroup, this);
    if (group == nullptr) return Warn("cannot announce", avahi_strerror(avahi_client_errno(client)));
    if (avahi_entry_group_is_empty(group) == 0) return;
    const std::string txt = absl::StrCat(kPeerKey, "=", options.peer_id);
    int error = avahi_entry_group_add_service(group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, AvahiPublishFlags{},
                                              name.c_str(), kServiceType, nullptr, nullptr, options.port, txt.c_str(),
                                              static_cast<char*>(nullptr));
    if (error == 0) error = avahi_entry_group_commit(group);
    if (error != 0) Warn("cannot announce", avahi_strerror(error));
  }

  static void OnGroup(AvahiEntryGroup* group, AvahiEntryGroupState state, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    impl.group = group;
    if (state == AVAHI_ENTRY_GROUP_FAILURE) {
      Warn("cannot announce", avahi_strerror(avahi_client_errno(impl.client)));
    } else if (state == AVAHI_ENTRY_GROUP_COLLISION) {
      // Somebody uses our name. It is only a label.
      char* alternative = avahi_alternative_service_name(impl.name.c_str());
      impl.name = alternative;
      avahi_free(alternative);
      avahi_entry_group_reset(group);
      impl.Announce();
    }
  }

  void Browse() {
    if (browser != nullptr) return;
    browser = avahi_service_browser_new(client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, kServiceType, nullptr,
                                        AvahiLookupFlags{}, &Impl::OnBrowsed, this);
    if (browser == nullptr) Warn("cannot browse", avahi_strerror(avahi_client_errno(client)));
  }

  static void OnBrowsed(AvahiServiceBrowser*, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                        const char* service, const char* type, const char* domain, AvahiLookupResultFlags flags,
                        void* self) {
    auto& impl = *static_cast<Impl*>(self);
    if (event == AVAHI_BROWSER_FAILURE) {
      return Warn("browsing has failed", avahi_strerror(avahi_client_errno(impl.client)));
    }
    const bool ours = (flags & AVAHI_LOOKUP_RESULT_OUR_OWN) != 0;
    if (event != AVAHI_BROWSER_NEW || ours || impl.resolving >= kMaxFound) return;
    // Frees itself in OnResolved.
    if (avahi_service_resolver_new(impl.client, interface, protocol, service, type, domain, AVAHI_PROTO_UNSPEC,
                                   AvahiLookupFlags{}, &Impl::OnResolved, self) != nullptr) {
      ++impl.resolving;
    }
  }

  static void OnResolved(AvahiServiceResolver* resolver, AvahiIfIndex, AvahiProtocol, AvahiResolverEvent event,
                         const char*, const char*, const char*, const char*, const AvahiAddress* address, uint16_t port,
                         AvahiStringList* txt, AvahiLookupResultFlags, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    if (event == AVAHI_RESOLVER_FOUND) impl.Take(*address, port, PeerIn(txt));
    avahi_service_resolver_free(resolver);
    --impl.resolving;
  }

  void Take(const AvahiAddress& address, uint16_t port, const std::string& peer) {
    if (peer.empty() || peer == options.peer_id) return;
    // A link-local address is of no use without its interface.
    const bool link_local = address.proto == AVAHI_PROTO_INET6 && address.data.ipv6.address[0] == 0xfe &&
                            (address.data.ipv6.address[1] & 0xc0) == 0x80;
    if (link_local) return;
    char ip[AVAHI_ADDRESS_STR_MAX];
    avahi_address_snprint(ip, sizeof(ip), &address);
    const char* kind = address.proto == AVAHI_PROTO_INET ? "ip4" : "ip6";
    const std::string text = absl::StrCat("/", kind, "/", ip, "/tcp/", port, "/p2p/", peer);
    if (seen.size() >= kMaxFound || !seen.insert(text).second) return;
    options.found(text);
  }

  const MdnsOptions options;
  std::string name;
  AvahiThreadedPoll* poll = nullptr;
  AvahiClient* client = nullptr;
  AvahiEntryGroup* group = nullptr;        // the client's
  AvahiServiceBrowser* browser = nullptr;  // likewise
  size_t resolving = 0;
  absl::flat_hash_set<std::string> seen;
};

Mdns::Mdns() = default;

absl::StatusOr<std::unique_ptr<Mdns>> Mdns::Start(MdnsOptions options) {
  std::unique_ptr<Mdns> mdns(new Mdns());
  mdns->impl_ = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(mdns->impl_->Start());
  return mdns;
}

Mdns::~Mdns() {
  if (impl_) impl_->Stop();
}

}  // namespace dotagent::host
