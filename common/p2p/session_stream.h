// A Stream on a session that runs on a socket: turns the session's "try again later" into callbacks.
#ifndef DOTAGENT_COMMON_P2P_SESSION_STREAM_H_
#define DOTAGENT_COMMON_P2P_SESSION_STREAM_H_

#include <asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/p2p/stream.h"
#include "common/session/session.h"

namespace dotagent::p2p {

class Connection;

// Made and woken by its Connection, which it may outlive: then it knows only why the session ended.
class SessionStream final : public Stream {
 public:
  SessionStream(const std::shared_ptr<Connection>& connection, session::StreamId id, std::string protocol);
  ~SessionStream() override;

  [[nodiscard]] const crypto::PublicKey& peer() const override { return peer_; }
  [[nodiscard]] const std::string& protocol() const override { return protocol_; }
  [[nodiscard]] bool relayed() const override { return relayed_; }

  void Read(size_t max, std::function<void(absl::StatusOr<std::string>)> done) override;
  void Write(std::string data, std::function<void(absl::Status)> done) override;
  void CloseWrite() override;
  void Reset(uint64_t code) override;

  // The connection's side: the session has news of this stream.
  void OnReadable();
  void OnWritable();
  // The connection has broken: takes what has arrived, so that it can still be read after Fail.
  void KeepReceived();
  // The stream is gone: everything that waits and everything later fails with `why`.
  void Fail(const absl::Status& why);

 private:
  struct PendingRead {
    size_t max;
    std::function<void(absl::StatusOr<std::string>)> done;
  };
  struct PendingWrite {
    std::shared_ptr<const std::string> data;
    size_t taken;
    std::function<void(absl::Status)> done;
  };
  void FinishRead(absl::StatusOr<std::string> result);
  void FinishWrite(absl::Status result);
  void CloseNow();

  const std::weak_ptr<Connection> connection_;
  const asio::any_io_executor executor_;
  const session::StreamId id_;
  const crypto::PublicKey peer_;
  const std::string protocol_;
  const bool relayed_;
  std::optional<PendingRead> read_;
  std::optional<PendingWrite> write_;
  std::optional<absl::Status> dead_;
  std::string kept_;  // what KeepReceived took
  bool read_finished_ = false;
  bool close_requested_ = false;
  bool write_closed_ = false;
};

}  // namespace dotagent::p2p

#endif  // DOTAGENT_COMMON_P2P_SESSION_STREAM_H_
