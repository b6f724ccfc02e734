// Identity's view of the DHT, through a resolver: who holds a name, and where revocations go.
#ifndef DOTAGENT_SERVICES_IDENTITY_RESOLVER_DIRECTORY_H_
#define DOTAGENT_SERVICES_IDENTITY_RESOLVER_DIRECTORY_H_

#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/channel.h"
#include "common/storage/store.h"
#include "services/host/directory.h"
#include "services/host/host.h"
#include "services/identity/handler.h"
#include "services/identity/revocation_log.h"

namespace dotagent::identity_service {

// Not thread-safe: on the host's loop.
class ResolverDirectory : public NameDirectory {
 public:
  // Without a channel every question is refused with FailedPrecondition. `clock` must outlive it.
  ResolverDirectory(std::unique_ptr<rpc::Channel> channel, const Clock& clock, rpc::Executor post);

  void KeyOf(const std::string& name, Callback<crypto::PublicKey> done) override;
  void PublishRevocation(const std::string& statement, const std::string& rotation_chain,
                         std::function<void(absl::Status)> done);
  [[nodiscard]] bool available() const { return directory_ != nullptr; }

 private:
  const std::unique_ptr<rpc::Channel> channel_;
  std::unique_ptr<host::Directory> directory_;
};

// Carries each revocation of the log into the DHT, in order, trying again with growing pauses; its place in the log is
// on disk, so that a restart neither forgets one nor repeats all. One that the resolver refuses, whose clock may be
// behind this one's, is set aside and tried again after a pause: it holds up none behind it.
class RevocationPublisher : public std::enable_shared_from_this<RevocationPublisher> {
 public:
  // Everything must outlive it.
  RevocationPublisher(host::Host& host, Handler& handler, ResolverDirectory& directory);

  // Reads its place and begins. On the loop.
  [[nodiscard]] absl::Status Start();
  // On the loop; nothing is called after.
  void Stop();

 private:
  void Continue();
  // What was set aside, once after each pause, or else what the log has behind the cursor. std::nullopt if there is
  // nothing, or the disk fails.
  [[nodiscard]] std::optional<RevocationLog::Entry> Next();
  void Publish(const RevocationLog::Entry& entry);
  void OnPublished(uint64_t sequence, const absl::Status& status);
  void SetAside(uint64_t sequence);
  [[nodiscard]] absl::Status SavePlace();
  void ContinueLater();

  host::Host& host_;
  Handler& handler_;
  ResolverDirectory& directory_;
  asio::steady_timer timer_;
  uint64_t cursor_ = 0;
  std::deque<uint64_t> set_aside_;  // sequences, up to the cursor
  uint64_t watch_ = 0;
  absl::Duration pause_;
  bool busy_ = false;     // the resolver is asked
  bool failing_ = false;  // it did not answer: nothing is tried before the pause is over
  bool waiting_ = false;  // for the end of a pause
  bool rested_ = false;   // one is over
  bool stopped_ = false;
};

}  // namespace dotagent::identity_service

#endif  // DOTAGENT_SERVICES_IDENTITY_RESOLVER_DIRECTORY_H_
