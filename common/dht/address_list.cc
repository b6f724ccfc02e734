#include "common/dht/address_list.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

namespace dotagent::dht {
namespace {

// An address's size, before its bytes; as the machine has it.
using Size = uint32_t;

absl::string_view AddressAt(const char* at) {
  Size size = 0;
  std::memcpy(&size, at, sizeof(size));
  return {at + sizeof(size), size};
}

}  // namespace

// The addresses follow it in memory, each with its size before it.
struct AddressList::Block {
  [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this + 1); }

  std::atomic<uint32_t> references = 1;
  uint32_t count;
};

AddressList::AddressList(const absl::string_view* addresses, size_t count) {
  if (count == 0) return;
  if (count == 1 && addresses->size() < kTag) {
    std::copy(addresses->begin(), addresses->end(), bytes_.begin());
    bytes_[kTag] = static_cast<uint8_t>(addresses->size() + 1);
    return;
  }
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) size += sizeof(Size) + addresses[i].size();
  auto* const block = new (::operator new(sizeof(Block) + size)) Block{.count = static_cast<uint32_t>(count)};
  char* at = block->bytes();
  for (size_t i = 0; i < count; ++i) {
    const auto length = static_cast<Size>(addresses[i].size());
    std::memcpy(at, &length, sizeof(length));
    at = std::copy(addresses[i].begin(), addresses[i].end(), at + sizeof(length));
  }
  std::memcpy(bytes_.data(), &block, sizeof(void*));
  bytes_[kTag] = kShared;
}

AddressList::AddressList(const std::vector<std::string>& addresses)
    : AddressList(std::vector<absl::string_view>(addresses.begin(), addresses.end())) {}

AddressList::Block* AddressList::block() const {
  Block* block = nullptr;
  std::memcpy(&block, bytes_.data(), sizeof(void*));
  return block;
}

void AddressList::AddReference() const { block()->references.fetch_add(1, std::memory_order_relaxed); }

void AddressList::DropReference() const {
  Block* const shared = block();
  if (shared->references.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  shared->~Block();
  ::operator delete(shared);
}

AddressList::Iterator& AddressList::Iterator::operator++() {
  if (--left_ > 0) address_ = AddressAt(address_.data() + address_.size());
  return *this;
}

size_t AddressList::size() const {
  if (is_shared()) return block()->count;
  return empty() ? 0 : 1;
}

AddressList::Iterator AddressList::begin() const {
  if (is_shared()) return {AddressAt(block()->bytes()), block()->count};
  if (empty()) return {};
  return {{reinterpret_cast<const char*>(bytes_.data()), size_t{bytes_[kTag]} - 1}, 1};
}

std::vector<std::string> AddressList::ToVector() const { return {begin(), end()}; }

size_t AddressList::block_size() const {
  if (!is_shared()) return 0;
  size_t size = sizeof(Block);
  for (const absl::string_view address : *this) size += sizeof(Size) + address.size();
  return size;
}

bool operator==(const AddressList& a, const AddressList& b) {
  if (!a.is_shared() || !b.is_shared()) {
    if (a.bytes_[AddressList::kTag] != b.bytes_[AddressList::kTag]) return false;
    return a.empty() || a.front() == b.front();
  }
  return a.block() == b.block() || (a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()));
}

}  // namespace dotagent::dht
