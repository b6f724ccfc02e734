#include "common/p2p/tcp_dial.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <cstddef>
#include <string>
#include <system_error>

namespace dotagent::p2p {
namespace {

using asio::ip::tcp;

constexpr size_t kWrite = 64 * 1024;  // as a connection does

// A loopback connection with a large send buffer, whose reader does not read.
class UnsentTest : public testing::Test {
 protected:
  void SetUp() override {
    tcp::acceptor acceptor(context_, {asio::ip::address_v4::loopback(), 0});
    sender_.open(tcp::v4());
    sender_.set_option(asio::socket_base::send_buffer_size(4 << 20));
    sender_.connect(acceptor.local_endpoint());
    reader_ = acceptor.accept();
    sender_.non_blocking(true);
  }

  // Writes until the socket takes no more; returns how much of it is unsent.
  size_t Fill() {
    const std::string bytes(kWrite, 'x');
    std::error_code error;
    for (int writes = 0; !error && writes < 1024; ++writes) sender_.write_some(asio::buffer(bytes), error);
    EXPECT_EQ(error, asio::error::would_block);
    int unsent = 0;
    EXPECT_EQ(ioctl(sender_.native_handle(), SIOCOUTQNSD, &unsent), 0);
    return static_cast<size_t>(unsent);
  }

  asio::io_context context_;
  tcp::socket sender_{context_};
  tcp::socket reader_{context_};
};

TEST_F(UnsentTest, ATunedSocketKeepsLittleThatIsUnsent) {
  TuneTcp(sender_);
  EXPECT_LE(Fill(), kMaxUnsent + kWrite);
}

TEST_F(UnsentTest, AnyOtherSocketKeepsMegabytes) { EXPECT_GT(Fill(), 8 * (kMaxUnsent + kWrite) / 4); }

}  // namespace
}  // namespace dotagent::p2p
