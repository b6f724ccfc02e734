// Whoever comes to a node's public port without being a node.
#ifndef DOTAGENT_TESTS_UNIT_P2P_STRANGER_H_
#define DOTAGENT_TESTS_UNIT_P2P_STRANGER_H_

#include <gtest/gtest.h>

#include <asio/completion_condition.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/p2p/multiaddr.h"
#include "tests/unit/p2p/fixtures.h"

namespace dotagent::p2p {

// A plain socket to a node, which blocks, with a deadline.
class Stranger {
 public:
  explicit Stranger(const Multiaddr& address) : socket_(io_) {
    std::error_code error;
    socket_.connect(asio::ip::tcp::endpoint(asio::ip::make_address(address.host), address.port), error);
    EXPECT_FALSE(error) << error.message();
  }
  void Say(const std::string& bytes) {
    std::error_code ignored;  // the node may have hung up
    asio::write(socket_, asio::buffer(bytes), ignored);
  }
  // All that the node says until it hangs up; std::nullopt if it does not.
  std::optional<std::string> HearToTheEnd() {
    std::string heard;
    bool over = false;
    asio::async_read(socket_, asio::dynamic_buffer(heard), [&](const std::error_code&, size_t) { over = true; });
    io_.restart();
    io_.run_for(kPatience);
    return over ? std::optional(heard) : std::nullopt;
  }
  // At least `size` bytes, unless the node hangs up or says nothing.
  std::string Hear(size_t size) {
    std::string heard;
    bool over = false;
    asio::async_read(socket_, asio::dynamic_buffer(heard), asio::transfer_at_least(size),
                     [&](const std::error_code&, size_t) { over = true; });
    io_.restart();
    io_.run_for(kPatience);
    EXPECT_TRUE(over) << "the node says nothing";
    return heard;
  }
  void HangUp() { socket_.close(); }
  // As who vanishes and comes back without a memory of it: with a reset.
  void Break() {
    socket_.set_option(asio::socket_base::linger(true, 0));
    socket_.close();
  }

 private:
  asio::io_context io_;
  asio::ip::tcp::socket socket_;
};

// As it stands among the metrics of a node.
inline std::string Refused(const std::string& cause, int count) {
  return absl::StrCat("dotagent_p2p_refused_total{cause=\"", cause, "\"} ", count, "\n");
}

}  // namespace dotagent::p2p

#endif  // DOTAGENT_TESTS_UNIT_P2P_STRANGER_H_
