#include "common/dht/address_list.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

namespace dotagent::dht {
namespace {

// An address's size, before its bytes; as the machine has it.
using Size = uint32_t;

Size SizeAt(const char* at) {
  Size size = 0;
  std::memcpy(&size, at, sizeof(size));
  return size;
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
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) size += sizeof(Size) + addresses[i].size();
  block_ = new (::operator new(sizeof(Block) + size)) Block{.count = static_cast<uint32_t>(count)};
  char* at = block_->bytes();
  for (size_t i = 0; i < count; ++i) {
    const auto length = static_cast<Size>(addresses[i].size());
    std::memcpy(at, &length, sizeof(length));
    at = std::copy(addresses[i].begin(), addresses[i].end(), at + sizeof(length));
  }
}

AddressList::AddressList(const std::vector<std::string>& addresses)
    : AddressList(std::vector<absl::string_view>(addresses.begin(), addresses.end())) {}

AddressList::AddressList(const AddressList& other) : block_(other.block_) {
  if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
}

AddressList::~AddressList() {
  if (block_ == nullptr || block_->references.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  block_->~Block();
  ::operator delete(block_);
}

absl::string_view AddressList::Iterator::operator*() const { return {at_ + sizeof(Size), SizeAt(at_)}; }

AddressList::Iterator& AddressList::Iterator::operator++() {
  at_ += sizeof(Size) + SizeAt(at_);
  if (--left_ == 0) at_ = nullptr;
  return *this;
}

size_t AddressList::size() const { return empty() ? 0 : block_->count; }

AddressList::Iterator AddressList::begin() const { return empty() ? Iterator() : Iterator(block_->bytes(), size()); }

AddressList::Iterator AddressList::end() const { return {}; }

std::vector<std::string> AddressList::ToVector() const { return {begin(), end()}; }

size_t AddressList::block_size() const {
  size_t size = empty() ? 0 : sizeof(Block);
  for (const absl::string_view address : *this) size += sizeof(Size) + address.size();
  return size;
}

bool operator==(const AddressList& a, const AddressList& b) {
  return a.block_ == b.block_ || (a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()));
}

}  // namespace dotagent::dht
