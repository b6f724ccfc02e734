// A node's addresses, as they go from hand to hand: an immutable list in one block of memory that its copies share.
//
// Contacts are copied all the time (a lookup's answer names up to 32 of them, and each passes through tables, lookups
// and calls), and nobody ever changes the addresses of one. As a vector of strings they were four tenths of a
// simulation's time, and the larger part of a routing table's memory.
//
//   AddressList addresses = {"/ip4/192.0.2.1/tcp/4001", "/dns/node.example/tcp/4001"};
//   for (const absl::string_view address : addresses) Dial(address);
//
// Takes any addresses, however many and long: what limits there are (kMaxContactAddresses, kMaxAddressSize) belongs to
// those who let contacts in. A value: 8 bytes, a copy costs one reference count. As thread-safe as a shared_ptr: copies
// may be used on different threads. (It counts its references itself, since a routing table holds hundreds of lists: of
// the 80 bytes that a shared array takes for a usual address, 32 would be the pointer's.)
#ifndef DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_
#define DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace dotagent::dht {

class AddressList {
 public:
  // Goes through the list; good as long as some copy of the list lives.
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = absl::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const absl::string_view*;
    using reference = absl::string_view;

    Iterator() = default;
    absl::string_view operator*() const;
    Iterator& operator++();
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    friend class AddressList;
    Iterator(const char* at, size_t left) : at_(at), left_(left) {}
    const char* at_ = nullptr;
    size_t left_ = 0;
  };
  using value_type = absl::string_view;
  using const_iterator = Iterator;
  using iterator = Iterator;

  AddressList() = default;
  AddressList(std::initializer_list<absl::string_view> addresses)  // NOLINT(google-explicit-constructor)
      : AddressList(addresses.begin(), addresses.size()) {}
  AddressList(const std::vector<std::string>& addresses);  // NOLINT(google-explicit-constructor)
  explicit AddressList(const std::vector<absl::string_view>& addresses)
      : AddressList(addresses.data(), addresses.size()) {}

  AddressList(const AddressList& other);
  AddressList(AddressList&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  AddressList& operator=(AddressList other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~AddressList();

  [[nodiscard]] bool empty() const { return block_ == nullptr; }
  [[nodiscard]] size_t size() const;
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const;
  // Not of an empty list.
  [[nodiscard]] absl::string_view front() const { return *begin(); }

  [[nodiscard]] std::vector<std::string> ToVector() const;
  // Bytes of the block that the copies share.
  [[nodiscard]] size_t block_size() const;

  friend bool operator==(const AddressList& a, const AddressList& b);

 private:
  struct Block;

  AddressList(const absl::string_view* addresses, size_t count);

  Block* block_ = nullptr;  // counted; nullptr: empty
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_
