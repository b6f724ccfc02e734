#include "common/session/session.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/varint.h"
#include "common/session/cookie.h"
#include "common/session/frame.h"
#include "common/session/libp2p_noise.h"
#include "common/session/multistream.h"
#include "common/session/mux.h"
#include "common/session/noise.h"
#include "common/session/transport.h"

namespace dotagent::session {
namespace {

constexpr absl::string_view kNoiseProtocol = "/noise";
constexpr absl::string_view kMuxProtocol = "/dotagent/mux/1.0.0";
// The payload, two keys and two tags.
constexpr size_t kMaxHandshakeMessage = kMaxPayload + 128;
static_assert(kMinOutput == kMaxPlaintext + kMessageOverhead);

absl::Status HandshakeTimedOut() {
  return ErrorWithReason(absl::StatusCode::kDeadlineExceeded, reason::kUnreachable,
                         "the peer did not finish the handshake in time");
}

absl::Status SessionIsOver(const absl::Status& cause) {
  return absl::FailedPreconditionError(absl::StrCat("the session is over: ", cause.message()));
}

absl::Status NotEstablished() { return absl::FailedPreconditionError("the session's handshake is not over yet"); }

// With its length, which `in` begins with.
absl::StatusOr<size_t> HandshakeMessageSize(absl::string_view in) {
  const size_t size = static_cast<size_t>(static_cast<uint8_t>(in[0])) << 8 | static_cast<uint8_t>(in[1]);
  if (size > kMaxHandshakeMessage) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, reason::kTooLarge,
        absl::StrCat("handshake message of ", size, " bytes; at most ", kMaxHandshakeMessage, " are allowed"));
  }
  return 2 + size;
}

// What a GOAWAY says of an error that the mux has no code for.
EndCode EndCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
      return EndCode::kCrypto;
    case absl::StatusCode::kResourceExhausted:
      return EndCode::kKeyLimit;
    default:
      return EndCode::kProtocolViolation;
  }
}

}  // namespace

struct Session::Impl {
  enum class Stage { kMultistream, kGate, kHandshake, kOpen, kOver };

  Impl(Options opts, absl::Time now);

  absl::Status Consume(absl::string_view bytes, absl::Time now);
  absl::Status CompleteBuffered(absl::string_view* view, absl::Time now, PlaintextBuffer* buffer);
  absl::StatusOr<bool> TakeTransportMessage(absl::string_view* view, absl::Time now, PlaintextBuffer* buffer);
  absl::Status Negotiate(absl::string_view* view, absl::Time now);
  absl::Status OnAgreed();
  absl::Status AwaitKnock(absl::string_view view, absl::Time now);
  absl::Status Admit(absl::Time now);
  void BeginHandshake();
  absl::StatusOr<bool> TakeHandshakeMessage(absl::string_view* in, absl::Time now);
  absl::Status OnHandshakeMessage(absl::string_view message, absl::Time now);
  absl::Status WriteHandshakeMessage(absl::string_view payload);
  absl::Status WriteIdentity();
  absl::Status CheckIdentity(absl::string_view payload);
  void Establish(absl::Time now);
  absl::Status End(const absl::Status& cause, absl::Time now);
  // OK while streams can be used.
  absl::Status Usable() const;
  MuxParameters OwnParameters() const {
    return {.stream_window = options.stream_window,
            .connection_window = options.connection_window,
            .max_streams = options.max_streams};
  }

  Options options;
  Stage stage = Stage::kMultistream;
  absl::Time handshake_deadline;
  absl::Status cause;  // once kOver

  std::string in;   // bytes of a line or message that is not complete
  std::string out;  // handshake messages, and the last GOAWAY
  std::vector<Event> events;

  Multistream multistream;
  std::optional<CookieSolver> solver;  // a dialler's, while it works
  size_t knock = 0;                    // once kKnock was said: the size of the dialler's first message in `in`
  std::optional<HandshakeState> handshake;
  std::optional<Transport> transport;
  std::optional<Mux> mux;  // stays after the end, for what can still be read

  bool established = false;
  MuxParameters peer_parameters;
  crypto::PublicKey peer_key;
  std::string channel_id;
};

Session::Impl::Impl(Options opts, absl::Time now)
    : options(std::move(opts)),
      handshake_deadline(now + options.handshake_timeout),
      multistream(options.role, kNoiseProtocol) {
  assert(options.identity != nullptr && options.random != nullptr);
  if (options.role == Role::kDialler) {
    if (options.max_cookie_bits > 0) multistream.OfferWork();
    out = multistream.Start();
    BeginHandshake();
    // There is one protocol to agree on, so its first message need not wait for the answer. It cannot fail: it is our
    // turn, and the message is a public key.
    [[maybe_unused]] const absl::Status written = WriteHandshakeMessage("");
    assert(written.ok());
  } else if (options.gated && options.cookie_bits > 0) {
    assert(options.mint != nullptr);
    multistream.AskForWork(options.mint->Make(options.cookie_peer, options.cookie_bits, now));
  }
}

// A listener makes its keys only for a dialler that speaks its protocol.
void Session::Impl::BeginHandshake() {
  handshake.emplace(options.role, "", crypto::DhKey::Generate(*options.random),
                    crypto::DhKey::Generate(*options.random));
}

absl::Status Session::Impl::Consume(absl::string_view bytes, absl::Time now) {
  PlaintextBuffer buffer;
  if (stage != Stage::kOpen) {
    in.append(bytes.data(), bytes.size());
    absl::string_view view = in;
    RETURN_IF_ERROR(Negotiate(&view, now));
    in.erase(0, in.size() - view.size());
    bytes = {};
    if (stage != Stage::kOpen) return absl::OkStatus();
  }
  RETURN_IF_ERROR(CompleteBuffered(&bytes, now, &buffer));
  while (true) {
    ASSIGN_OR_RETURN(const bool taken, TakeTransportMessage(&bytes, now, &buffer));
    if (!taken) break;
  }
  in.append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

// What precedes the transport messages, as far as it has arrived.
absl::Status Session::Impl::Negotiate(absl::string_view* view, absl::Time now) {
  if (stage == Stage::kMultistream) {
    ASSIGN_OR_RETURN(const bool agreed, multistream.Advance(view, &out));
    if (!agreed) return absl::OkStatus();
    RETURN_IF_ERROR(OnAgreed());
  }
  if (stage == Stage::kGate) return AwaitKnock(*view, now);
  while (stage == Stage::kHandshake) {
    ASSIGN_OR_RETURN(const bool taken, TakeHandshakeMessage(view, now));
    if (!taken) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::OnAgreed() {
  if (options.role == Role::kListener && options.gated) {
    stage = Stage::kGate;
    return absl::OkStatus();
  }
  stage = Stage::kHandshake;
  if (options.role == Role::kListener) BeginHandshake();
  if (options.role == Role::kDialler && multistream.work_asked()) {
    ASSIGN_OR_RETURN(solver, CookieSolver::Create(multistream.cookie(), options.max_cookie_bits, *options.random));
    events.push_back({.kind = Event::Kind::kWorkAsked, .code = static_cast<uint64_t>(solver->bits())});
  }
  return absl::OkStatus();
}

// `view` begins with the dialler's first message; if it was asked for work, the proof follows behind its length.
absl::Status Session::Impl::AwaitKnock(absl::string_view view, absl::Time now) {
  if (view.size() < 2) return absl::OkStatus();
  ASSIGN_OR_RETURN(const size_t first, HandshakeMessageSize(view));
  const size_t proof = multistream.work_asked() ? 1 + kCookieProofSize : 0;
  if (view.size() > first + proof) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol,
                           "the peer sent more before the handshake's answer");
  }
  if (view.size() < first + proof || knock > 0) return absl::OkStatus();
  int bits = 0;
  if (proof > 0) {
    if (static_cast<uint8_t>(view[first]) != kCookieProofSize) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, reason::kProtocol,
          absl::StrCat("a cookie's proof of ", static_cast<uint8_t>(view[first]), " bytes; it has ", kCookieProofSize));
    }
    ASSIGN_OR_RETURN(bits, options.mint->Check(options.cookie_peer, view.substr(first + 1), now));
  }
  knock = first;
  events.push_back({.kind = Event::Kind::kKnock, .code = static_cast<uint64_t>(bits)});
  return absl::OkStatus();
}

absl::Status Session::Impl::Admit(absl::Time now) {
  in.resize(knock);  // the proof is of no more use
  stage = Stage::kHandshake;
  BeginHandshake();
  absl::string_view view = in;
  RETURN_IF_ERROR(Negotiate(&view, now));
  in.erase(0, in.size() - view.size());
  return absl::OkStatus();
}

// Takes the messages that `in` holds, the last one with what it still needs from the front of `view`; the rest of that
// is not copied. Then either `in` or `view` is empty.
absl::Status Session::Impl::CompleteBuffered(absl::string_view* view, absl::Time now, PlaintextBuffer* buffer) {
  while (!in.empty()) {
    const size_t wanted = std::max<size_t>(Transport::MessageSize(in), kMessageOverhead);
    if (in.size() < wanted) {
      const absl::string_view piece = view->substr(0, wanted - in.size());
      in.append(piece.data(), piece.size());
      view->remove_prefix(piece.size());
    }
    absl::string_view buffered = in;
    ASSIGN_OR_RETURN(const bool taken, TakeTransportMessage(&buffered, now, buffer));
    if (taken) {
      in.erase(0, in.size() - buffered.size());
      if (in.empty()) in = std::string();
    } else if (view->empty()) {
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Session::Impl::TakeTransportMessage(absl::string_view* view, absl::Time now,
                                                         PlaintextBuffer* buffer) {
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> plaintext, transport->TakeMessage(view, now, buffer));
  if (!plaintext) return false;
  RETURN_IF_ERROR(mux->OnMessage(*plaintext, now));
  return true;
}

absl::StatusOr<bool> Session::Impl::TakeHandshakeMessage(absl::string_view* view, absl::Time now) {
  if (view->size() < 2) return false;
  ASSIGN_OR_RETURN(const size_t size, HandshakeMessageSize(*view));
  if (view->size() < size) return false;
  const absl::string_view message = view->substr(2, size - 2);
  view->remove_prefix(size);
  RETURN_IF_ERROR(OnHandshakeMessage(message, now));
  return true;
}

absl::Status Session::Impl::OnHandshakeMessage(absl::string_view message, absl::Time now) {
  solver.reset();  // a listener that answers wants no more work
  ASSIGN_OR_RETURN(const std::string payload, handshake->ReadMessage(message));
  if (handshake->remote_static().empty()) return WriteIdentity();  // a listener, after the dialler's first message
  RETURN_IF_ERROR(CheckIdentity(payload));
  if (!handshake->finished()) RETURN_IF_ERROR(WriteIdentity());
  Establish(now);
  return absl::OkStatus();
}

absl::Status Session::Impl::WriteHandshakeMessage(absl::string_view payload) {
  std::string message;
  RETURN_IF_ERROR(handshake->WriteMessage(payload, &message));
  out.push_back(static_cast<char>(message.size() >> 8));
  out.push_back(static_cast<char>(message.size() & 0xff));
  out.append(message);
  return absl::OkStatus();
}

absl::Status Session::Impl::WriteIdentity() {
  ASSIGN_OR_RETURN(const std::string payload, MakeHandshakePayload(*options.identity, handshake->static_public(),
                                                                   {std::string(kMuxProtocol)}, OwnParameters()));
  return WriteHandshakeMessage(payload);
}

absl::Status Session::Impl::CheckIdentity(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const HandshakePayload payload, VerifyHandshakePayload(bytes, handshake->remote_static()));
  if (options.expected_peer && payload.key != *options.expected_peer) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kKeyMismatch,
                           "the peer has another key than the one that was asked for");
  }
  if (std::find(payload.muxers.begin(), payload.muxers.end(), kMuxProtocol) == payload.muxers.end()) {
    return ErrorWithReason(absl::StatusCode::kUnimplemented, reason::kProtocol,
                           absl::StrCat("the peer does not list ", kMuxProtocol, " among its stream_muxers"));
  }
  peer_key = payload.key;
  peer_parameters = payload.parameters;
  return absl::OkStatus();
}

void Session::Impl::Establish(absl::Time now) {
  channel_id = handshake->handshake_hash();
  transport.emplace(options.role, handshake->Split(),
                    RekeyLimits{.messages = options.rekey_messages, .interval = options.rekey_interval}, options.random,
                    now);
  mux.emplace(MuxOptions{.role = options.role,
                         .ours = OwnParameters(),
                         .theirs = peer_parameters,
                         .max_stream_window = options.max_stream_window,
                         .max_connection_window = options.max_connection_window,
                         .most_streams = options.most_streams,
                         .send_buffer = options.send_buffer,
                         .window_budget = options.window_budget});
  handshake.reset();
  established = true;
  stage = Stage::kOpen;
  events.push_back({.kind = Event::Kind::kEstablished});
}

absl::Status Session::Impl::End(const absl::Status& why, absl::Time now) {
  if (stage == Stage::kOpen) {
    for (Event& event : mux->TakeEvents()) events.push_back(std::move(event));
    if (why.code() != absl::StatusCode::kAborted) {  // else the peer has said so itself, and listens no more
      const EndCode code = mux->end_code() == EndCode::kNone ? EndCodeOf(why) : mux->end_code();
      transport->BeginMessage(now)->Add({.type = FrameType::kGoAway,
                                         .value = static_cast<uint64_t>(code),
                                         .data = why.message().substr(0, kMaxGoAwayReason)});
      char sealed[kMinOutput];
      out.append(sealed, transport->EndMessage(now, sealed));
    }
  }
  stage = Stage::kOver;
  cause = why;
  handshake.reset();
  solver.reset();
  transport.reset();
  in = std::string();
  return cause;
}

absl::Status Session::Impl::Usable() const {
  if (stage == Stage::kOpen) return absl::OkStatus();
  return stage == Stage::kOver ? SessionIsOver(cause) : NotEstablished();
}

Session::Session(Options options, absl::Time now) : impl_(std::make_unique<Impl>(std::move(options), now)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

absl::Status Session::Receive(absl::string_view bytes, absl::Time now) {
  RETURN_IF_ERROR(OnTimeout(now));
  if (impl_->stage == Impl::Stage::kOver) return impl_->cause;
  const absl::Status status = impl_->Consume(bytes, now);
  return status.ok() ? status : impl_->End(status, now);
}

absl::Status Session::Admit(absl::Time now) {
  if (impl_->stage == Impl::Stage::kOver) return impl_->cause;
  if (impl_->stage != Impl::Stage::kGate || impl_->knock == 0) {
    return absl::FailedPreconditionError("nobody has knocked");
  }
  const absl::Status status = impl_->Admit(now);
  return status.ok() ? status : impl_->End(status, now);
}

bool Session::WorkOnCookie(uint64_t attempts) {
  if (!impl_->solver) return true;
  const std::optional<std::string> proof = impl_->solver->Work(attempts);
  if (!proof) return false;
  impl_->out += WithLength(*proof);
  impl_->solver.reset();
  return true;
}

size_t Session::TakeOutput(absl::Span<char> room, absl::Time now) {
  const size_t whole = room.size();
  // What is plain, or the last word of a session, is short and goes first.
  const size_t waiting = impl_->out.copy(room.data(), room.size());
  impl_->out.erase(0, waiting);
  room.remove_prefix(waiting);
  if (impl_->stage != Impl::Stage::kOpen) return whole - room.size();
  // No message is cut short by the room that is left: bulk data goes out in whole blocks of its queue.
  while (room.size() >= kMinOutput && HasOutput()) {
    Message* const message = impl_->transport->BeginMessage(now);
    impl_->mux->Fill(kMaxPlaintext, message);
    if (message->empty()) break;
    room.remove_prefix(impl_->transport->EndMessage(now, room.data()));
  }
  return whole - room.size();
}

std::string Session::TakeOutput(size_t max, absl::Time now) {
  std::string output;
  if (!HasOutput()) return output;
  output.resize(std::max(std::min(max, size_t{4} * kMinOutput), kMinOutput));
  output.resize(TakeOutput(absl::MakeSpan(output), now));
  return output;
}

bool Session::HasOutput() const {
  if (!impl_->out.empty()) return true;
  return impl_->stage == Impl::Stage::kOpen && (impl_->mux->HasFrames() || impl_->transport->message_wanted());
}

std::vector<Event> Session::TakeEvents() {
  std::vector<Event> events = std::exchange(impl_->events, {});
  if (impl_->stage == Impl::Stage::kOpen) {
    for (Event& event : impl_->mux->TakeEvents()) events.push_back(std::move(event));
  }
  return events;
}

absl::Time Session::NextTimeout() const {
  switch (impl_->stage) {
    case Impl::Stage::kOpen:
      return std::min(impl_->transport->NextTimeout(), impl_->mux->NextTimeout());
    case Impl::Stage::kOver:
      return absl::InfiniteFuture();
    default:
      return impl_->handshake_deadline;
  }
}

absl::Status Session::OnTimeout(absl::Time now) {
  if (impl_->stage == Impl::Stage::kOver) return impl_->cause;
  if (impl_->stage == Impl::Stage::kOpen) {
    impl_->transport->OnTimeout(now);
    impl_->mux->OnTimeout(now);
  } else if (now >= impl_->handshake_deadline) {
    return impl_->End(HandshakeTimedOut(), now);
  }
  return absl::OkStatus();
}

bool Session::work_asked() const { return impl_->multistream.work_asked(); }

bool Session::established() const { return impl_->established; }

const crypto::PublicKey& Session::peer_key() const {
  assert(impl_->established);
  return impl_->peer_key;
}

const std::string& Session::channel_id() const {
  assert(impl_->established);
  return impl_->channel_id;
}

absl::Status Session::TransportEnded() const {
  const Impl& impl = *impl_;
  if (impl.stage == Impl::Stage::kOver) return impl.cause;
  if (impl.stage != Impl::Stage::kOpen)
    return absl::UnavailableError("the peer closed the connection before the handshake was over");
  if (impl.in.empty()) return absl::UnavailableError("the peer closed the connection");
  const size_t size = Transport::MessageSize(impl.in);
  const std::string whole = size == 0 ? "" : absl::StrCat(" of ", size);
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, reason::kProtocol,
      absl::StrCat("the connection ended inside a sealed message: ", impl.in.size(), whole, " bytes of it had come"));
}

absl::StatusOr<StreamId> Session::OpenStream(absl::string_view protocol, Priority priority, StreamUse use) {
  RETURN_IF_ERROR(impl_->Usable());
  return impl_->mux->OpenStream(protocol, priority, use);
}

absl::StatusOr<size_t> Session::Write(StreamId stream, absl::string_view data) {
  RETURN_IF_ERROR(impl_->Usable());
  return impl_->mux->Write(stream, data);
}

absl::StatusOr<size_t> Session::Write(StreamId stream, const std::shared_ptr<const std::string>& data, size_t from) {
  RETURN_IF_ERROR(impl_->Usable());
  return impl_->mux->Write(stream, data, from);
}

absl::Status Session::CloseWrite(StreamId stream) {
  RETURN_IF_ERROR(impl_->Usable());
  return impl_->mux->CloseWrite(stream);
}

absl::StatusOr<ReadResult> Session::Read(StreamId stream, size_t max) {
  if (!impl_->mux) return impl_->Usable();
  return impl_->mux->Read(stream, max);
}

void Session::Reset(StreamId stream, uint64_t code) {
  if (impl_->Usable().ok()) impl_->mux->Reset(stream, code);
}

absl::Status Session::SetDependency(StreamId stream, std::optional<StreamId> on) {
  RETURN_IF_ERROR(impl_->Usable());
  return impl_->mux->SetDependency(stream, on);
}

void Session::SetPriority(StreamId stream, Priority priority) {
  if (impl_->Usable().ok()) impl_->mux->SetPriority(stream, priority);
}

size_t Session::open_streams() const { return impl_->Usable().ok() ? impl_->mux->open_streams() : 0; }

void Session::GoAway() {
  if (impl_->Usable().ok()) impl_->mux->GoAway();
}

}  // namespace dotagent::session
