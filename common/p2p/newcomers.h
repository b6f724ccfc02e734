// What strangers may cost a node before they have proved a key: how often an address connects, how many handshakes are
// under way, how much of the loop's time goes into them, and what they have to show first when that is not enough.
//
// Established sessions come first: whatever is done for a newcomer, from accept to the end of its handshake, is
// measured (WorkBudget), and once that is more than its share of the loop's time nobody is taken in until it is not.
// Meanwhile connections wait in the kernel, and those that have spoken in a HandshakeQueue, from which one handshake at
// a time is done between the loop's other work. Diallers that offer it are asked for work (CookiePrice,
// session/cookie.h) and then wait in a lane of their own.
//
// Defends against floods of connections and handshakes, from one address or many, finished, half done or silent.
//
// On the loop. Metrics: dotagent_p2p_handshakes_waiting, dotagent_p2p_admitted_total{lane},
// dotagent_p2p_cookies_total{result}, dotagent_p2p_cookie_bits, dotagent_p2p_newcomer_seconds_total.
#ifndef DOTAGENT_COMMON_P2P_NEWCOMERS_H_
#define DOTAGENT_COMMON_P2P_NEWCOMERS_H_

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/p2p/address_buckets.h"
#include "common/p2p/cookie_price.h"
#include "common/p2p/handshake_queue.h"
#include "common/p2p/newcomer_limits.h"
#include "common/p2p/work_budget.h"
#include "common/session/cookie.h"
#include "common/session/session.h"
#include "common/telemetry/metrics.h"

namespace dotagent::p2p {

class Newcomers : public std::enable_shared_from_this<Newcomers> {
 public:
  // A handshake's place in the queue; it leaves with it.
  class Place {
   public:
    Place(std::weak_ptr<Newcomers> owner, HandshakeQueue::Id id) : owner_(std::move(owner)), id_(id) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    [[nodiscard]] HandshakeQueue::Id id() const { return id_; }

   private:
    const std::weak_ptr<Newcomers> owner_;
    const HandshakeQueue::Id id_;
  };

  // What becomes of a handshake. Neither is called from inside a call.
  struct Handshake {
    std::function<void()> admit = nullptr;           // its turn, after Knock
    std::function<void(const absl::Status&)> evict;  // it made room for another
  };

  // `clock`, `random` and `metrics` must outlive it. `on_refused` gets "rate", "handshakes", "handshakes_of_address" or
  // "evicted".
  Newcomers(const asio::any_io_executor& executor, const NewcomerLimits& limits, const Clock* clock, Random& random,
            telemetry::Metrics& metrics, std::function<void(absl::string_view cause)> on_refused);

  // Whether an address (address_group.h) may connect once more, which it then does.
  [[nodiscard]] bool MayConnect(const std::string& group);
  // How long nobody should be taken in; 0: now is fine.
  [[nodiscard]] absl::Duration Pause();
  // Runs `work` and charges the newcomers for the time that it takes.
  template <typename Work>
  void Measure(Work&& work) {
    const bool outermost = !std::exchange(measuring_, true);
    const absl::Duration begun = outermost ? clock_->Elapsed() : absl::ZeroDuration();
    work();
    if (outermost) Measured(clock_->Elapsed() - begun);
  }

  // A connection came; nullptr if there is no room for its handshake. Whoever holds the place tells by Bind what
  // becomes of it, and lets go of it when the handshake is over, either way.
  [[nodiscard]] std::shared_ptr<Place> Enter(const std::string& group);
  // A later Bind replaces an earlier one.
  void Bind(const Place& place, Handshake handshake);
  // Whether it was not evicted.
  [[nodiscard]] bool Holds(const Place& place) const { return handshakes_.contains(place.id()); }
  // What a session that `place` is for is told. `peer` tells its connection from all others of its address.
  void Prepare(session::Options& options, const Place& place, absl::string_view peer);
  // It is ready for the costly part, having shown `bits` of work; admitted when it is its turn, or evicted.
  void Knock(const Place& place, uint64_t bits);
  // It ended without having knocked, though it was asked for work if `asked`.
  void CountFailure(bool asked, const absl::Status& why);

  // Nobody is admitted any more.
  void Close();

 private:
  void Measured(absl::Duration spent);
  void Leave(HandshakeQueue::Id id);
  void Evict(HandshakeQueue::Id id, absl::string_view cause);
  void SchedulePump();
  void Pump();
  [[nodiscard]] int Price();
  [[nodiscard]] absl::Time Now() const;

  const asio::any_io_executor executor_;
  const Clock* clock_;
  const std::function<void(absl::string_view)> on_refused_;
  AddressBuckets buckets_;
  WorkBudget budget_;
  HandshakeQueue queue_;
  CookiePrice price_;
  const session::CookieMint mint_;
  absl::flat_hash_map<HandshakeQueue::Id, Handshake> handshakes_;
  asio::steady_timer timer_;
  bool measuring_ = false;
  bool pumping_ = false;  // a Pump is on its way
  bool closed_ = false;

  telemetry::Gauge& waiting_;
  telemetry::Gauge& bits_;
  telemetry::Counter& seconds_;
  telemetry::Counter& admitted_paid_;
  telemetry::Counter& admitted_unpaid_;
  absl::flat_hash_map<absl::string_view, telemetry::Counter*> cookies_;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_NEWCOMERS_H_
