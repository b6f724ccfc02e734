// How many parties behave: who calls too fast, who sends what does not verify, and what follows from it.
//
// A party is an opaque key: an agent's public key, another gateway's, an address. Each has a token bucket, and a score
// to which every anomaly adds and which halves in a minute. Over one threshold the party is throttled: its bucket fills
// at a tenth. Over a higher one it is quarantined: refused for a time that doubles with each repetition, up to 64 times
// the first, and is forgiven by one repetition for every day without.
//
// Defends against parties that cost more than their share: floods, guessed signatures, replays, spam to ever more
// recipients. Calls are refused before anything costly is done for them, and whoever goes on through refusals soon
// costs a look into this table. An anomaly is charged to whom it is proved against only: that is the caller's business.
//
// Against parties that are many, or invent keys: the table is bounded, and who is in good standing and has been idle
// longest goes first, so that nobody loses a quarantine by bringing newcomers. The recipients that are remembered are
// bounded too, in all; beyond that they are admitted uncounted.
//
// What honest parties do costs little: one may send the same message again 10,000 times a minute before it is
// throttled, and a leap from idle to the full rate alone never suffices. A second counts as a flood only if more calls
// were refused in it than admitted, so who waits as it is told to is never punished.
#ifndef DOTAGENT_COMMON_ABUSE_CONDUCT_H_
#define DOTAGENT_COMMON_ABUSE_CONDUCT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/abuse/token_bucket.h"

namespace dotagent::abuse {

enum class Anomaly {
  kBadSignature,  // 10 points
  kReplay,        // 10: a message id that was used for other bytes
  kStale,         // 1: a message that is too old to be taken; also a slow clock
  kResend,        // 0.01: the same message again
  kFanOut,        // 0.5: a recipient too many
  kRateJump,      // 2: a second with over half the rate, and ten times what the party does on average
  kFlood,         // 5: a second in which at least 10 calls were refused, and more than admitted
};
inline constexpr std::array kAnomalies = {Anomaly::kBadSignature, Anomaly::kReplay,   Anomaly::kStale, Anomaly::kResend,
                                          Anomaly::kFanOut,       Anomaly::kRateJump, Anomaly::kFlood};
// "bad_signature" and so on.
[[nodiscard]] absl::string_view AnomalyName(Anomaly anomaly);

enum class Standing { kGood, kThrottled, kQuarantined };
// "good" and so on.
[[nodiscard]] absl::string_view StandingName(Standing standing);

inline constexpr absl::Duration kScoreHalfLife = absl::Minutes(1);
inline constexpr absl::Duration kFanOutWindow = absl::Minutes(1);
inline constexpr double kThrottledShare = 0.1;
inline constexpr int kMaxDoublings = 6;
inline constexpr absl::Duration kForgiveAfter = absl::Hours(24);

struct ConductLimits {
  Rate rate;                                     // of a party; per_second 0: any number, and no rate is an anomaly
  size_t max_recipients = 0;                     // distinct ones in a window; 0: any number
  double throttle_score = 100;                   // 0: never throttled
  double quarantine_score = 200;                 // 0: never quarantined
  absl::Duration quarantine = absl::Minutes(1);  // the first
  size_t max_parties = 65'536;                   // remembered; about 300 bytes each
  size_t max_remembered_recipients = 2'000'000;  // of all parties; about 8 bytes each
};

// Whether a call goes on.
struct Verdict {
  enum class Kind { kAdmitted, kTooFast, kTooManyRecipients, kQuarantined };
  Kind kind = Kind::kAdmitted;
  Standing standing = Standing::kGood;
  absl::Duration retry_after;  // if it was refused
  bool fallen = false;         // the standing is worse than it was before this call

  [[nodiscard]] bool admitted() const { return kind == Kind::kAdmitted; }
};

struct Record {
  Standing standing = Standing::kGood;
  double score = 0;
  absl::Duration quarantine_left;  // 0 unless quarantined
  int quarantines = 0;             // that are not forgiven
};

// Not thread-safe. `now` is Clock::Elapsed's. Admit and AdmitRecipient cost a look into a table.
class Conduct {
 public:
  // `seed`: random, so that nobody can choose recipients that are taken for one.
  Conduct(const ConductLimits& limits, uint64_t seed) : limits_(limits), seed_(seed) {}

  // Takes `cost` from the party's bucket.
  [[nodiscard]] Verdict Admit(absl::string_view party, double cost, absl::Duration now);
  // Counts a recipient, if it is a new one in this window.
  [[nodiscard]] Verdict AdmitRecipient(absl::string_view party, absl::string_view recipient, absl::Duration now);
  // Adds to the party's score. Nothing of a party that is quarantined: it pays already. True if its standing is worse
  // than before.
  bool Note(absl::string_view party, Anomaly anomaly, absl::Duration now);

  [[nodiscard]] Record Look(absl::string_view party, absl::Duration now) const;

  struct Offender {
    std::string party;
    Record record;
  };
  // Who has the worst standing and score; the worst first. Looks at all parties.
  [[nodiscard]] std::vector<Offender> Worst(size_t count, absl::Duration now) const;

  // Forgets parties that nothing is to be remembered of, and recipients of windows that have ended. Looks at all
  // parties; call about once a minute.
  void Sweep(absl::Duration now);

  [[nodiscard]] size_t size() const { return parties_.size(); }
  [[nodiscard]] size_t remembered_recipients() const { return remembered_recipients_; }
  // As of when each party was last looked at.
  [[nodiscard]] size_t throttled() const { return filed_[static_cast<size_t>(Standing::kThrottled)].size(); }
  [[nodiscard]] size_t quarantined() const { return filed_[static_cast<size_t>(Standing::kQuarantined)].size(); }
  // Counted since the start.
  [[nodiscard]] uint64_t anomalies(Anomaly anomaly) const { return anomalies_[static_cast<size_t>(anomaly)]; }
  [[nodiscard]] uint64_t quarantines() const { return quarantines_; }

 private:
  struct Party;
  using Parties = absl::node_hash_map<std::string, Party>;
  using File = std::list<Parties::value_type*>;

  struct Party {
    explicit Party(double tokens, absl::Duration now) : bucket(tokens, now), second(now), scored(now), last_used(now) {}
    TokenBucket bucket;
    absl::Duration second;  // when the one began that the next two count
    uint32_t admitted = 0;
    uint32_t refused = 0;
    double average = 0;  // calls a second
    double score = 0;
    absl::Duration scored;  // when it was that
    absl::Duration quarantine_end = absl::ZeroDuration();
    int quarantines = 0;
    absl::Duration forgive = absl::InfiniteDuration();  // when the next one is
    absl::Duration window = absl::ZeroDuration();       // when that of `recipients` began
    absl::flat_hash_set<uint32_t> recipients;
    absl::Duration last_used;
    Standing filed = Standing::kGood;
    File::iterator place;
  };

  [[nodiscard]] Parties::value_type& Find(absl::string_view key, absl::Duration now);
  void Refile(Parties::value_type& entry, absl::Duration now);
  void Evict();
  void Erase(Parties::value_type& entry);
  void CloseSecond(Party& party, absl::Duration now);
  void Add(Party& party, Anomaly anomaly, absl::Duration now);
  void DropRecipients(Party& party);
  [[nodiscard]] bool Forgettable(const Party& party, absl::Duration now) const;
  [[nodiscard]] Standing StandingOf(const Party& party, absl::Duration now) const;
  [[nodiscard]] File& FileOf(Standing standing) { return filed_[static_cast<size_t>(standing)]; }

  const ConductLimits limits_;
  const uint64_t seed_;
  Parties parties_;
  std::array<File, 3> filed_;  // by standing; longest idle first
  size_t remembered_recipients_ = 0;
  std::array<uint64_t, kAnomalies.size()> anomalies_{};
  uint64_t quarantines_ = 0;
};

}  // namespace dotagent::abuse

#endif  // DOTAGENT_COMMON_ABUSE_CONDUCT_H_
