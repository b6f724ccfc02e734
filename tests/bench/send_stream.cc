#include "tests/bench/send_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace dotagent::bench {

SendStream::SendStream(gateway::v1::GatewayService::Stub& stub, const std::string& token) {
  context_.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  stub.async()->Ask(&context_, this);
  AddHold();  // writes begin outside of reactions
  StartRead(&response_);
  StartCall();
}

SendStream::~SendStream() {
  context_.TryCancel();
  RemoveHold();
  ended_.WaitForNotification();
}

void SendStream::Send(const std::string& message_json, Done done) {
  bool over = false;
  {
    const absl::MutexLock lock(&mutex_);
    over = over_;
    if (!over) {
      gateway::v1::AskRequest& ask = waiting_.emplace_back();
      ask.set_number(++last_number_);
      ask.mutable_send()->set_message_json(message_json);
      sent_.emplace(last_number_, std::move(done));
      if (waiting_.size() == 1) WriteNext();
    }
  }
  if (over) done(false);
}

void SendStream::WriteNext() { StartWrite(&waiting_.front()); }

void SendStream::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mutex_);
  if (!ok) return;
  waiting_.pop_front();
  if (!waiting_.empty()) WriteNext();
}

void SendStream::OnReadDone(bool ok) {
  absl::flat_hash_map<uint64_t, Done> lost;
  Done done;
  {
    const absl::MutexLock lock(&mutex_);
    if (ok) {
      const auto sent = sent_.find(response_.number());
      if (sent != sent_.end()) {
        done = std::move(sent->second);
        sent_.erase(sent);
      }
    } else {
      over_ = true;
      lost.swap(sent_);
    }
  }
  for (const auto& [number, never] : lost) never(false);
  if (!ok) return;
  const bool taken = response_.has_sent() && !response_.sent().duplicate();
  StartRead(&response_);
  if (done) done(taken);
}

void SendStream::OnDone(const grpc::Status& /*status*/) { ended_.Notify(); }

}  // namespace dotagent::bench
