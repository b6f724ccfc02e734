// A node's addresses, as they go from hand to hand: an immutable list. One short address is kept in the object, as
// nearly every node has; several, or a long one, in one block of memory that the list's copies share.
//
// Contacts are copied all the time (a lookup's answer names up to 32 of them, and each passes through tables, lookups
// and calls), and nobody ever changes the addresses of one. As a vector of strings they were four tenths of a
// simulation's time, and the larger part of a routing table's memory; with a shared block for every list, a quarter of
// the time of a simulation of 100,000 nodes, since each copy had to wait for a count that lies somewhere else.
//
//   AddressList addresses = {"/ip4/192.0.2.1/tcp/4001", "/dns/node.example/tcp/4001"};
//   for (const absl::string_view address : addresses) Dial(address);
//
// Takes any addresses, however many and long: what limits there are (kMaxContactAddresses, kMaxAddressSize) belongs to
// those who let contacts in. A value: 32 bytes; a copy costs as much, or one reference count. As thread-safe as a
// std::string: copies may be used on different threads.
#ifndef DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_
#define DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace dotagent::dht {

class AddressList {
 public:
  // Goes through the list; good as long as that list lives, and is not moved.
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = absl::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const absl::string_view*;
    using reference = absl::string_view;

    Iterator() = default;
    absl::string_view operator*() const { return address_; }
    Iterator& operator++();
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    // Of one list.
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.left_ == b.left_; }

   private:
    friend class AddressList;
    Iterator(absl::string_view first, size_t left) : address_(first), left_(left) {}
    absl::string_view address_;
    size_t left_ = 0;  // this one and those behind it
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

  AddressList(const AddressList& other) : bytes_(other.bytes_) {
    if (is_shared()) AddReference();
  }
  AddressList(AddressList&& other) noexcept : bytes_(other.bytes_) { other.bytes_[kTag] = kEmpty; }
  AddressList& operator=(AddressList other) noexcept {
    bytes_.swap(other.bytes_);
    return *this;
  }
  ~AddressList() {
    if (is_shared()) DropReference();
  }

  [[nodiscard]] bool empty() const { return bytes_[kTag] == kEmpty; }
  [[nodiscard]] size_t size() const;
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const { return {}; }
  // Not of an empty list.
  [[nodiscard]] absl::string_view front() const { return *begin(); }

  [[nodiscard]] std::vector<std::string> ToVector() const;
  // Heap bytes that the copies share.
  [[nodiscard]] size_t block_size() const;

  friend bool operator==(const AddressList& a, const AddressList& b);

 private:
  struct Block;
  // Of the 32 bytes the last says what the others are: nothing, an address one byte shorter than it says, or where a
  // Block is.
  static constexpr size_t kTag = 31;
  static constexpr uint8_t kEmpty = 0;
  static constexpr uint8_t kShared = 0xff;

  AddressList(const absl::string_view* addresses, size_t count);

  [[nodiscard]] bool is_shared() const { return bytes_[kTag] == kShared; }
  [[nodiscard]] Block* block() const;
  void AddReference() const;
  void DropReference() const;

  alignas(void*) std::array<uint8_t, kTag + 1> bytes_{};
};

}  // namespace dotagent::dht

#endif  // DOTAGENT_COMMON_DHT_ADDRESS_LIST_H_
