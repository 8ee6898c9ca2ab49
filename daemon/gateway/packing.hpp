// Fields of link messages: numbers big-endian, texts behind their length.
#pragma once

#include <boost/endian/conversion.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace appserver::gateway {

class Packer final {
 public:
  template <class T>
  Packer& number(T value) {
    static_assert(std::is_unsigned_v<T>);
    const T swapped = boost::endian::native_to_big(value);
    out_.append(reinterpret_cast<const char*>(&swapped), sizeof(swapped));
    return *this;
  }
  // At most 255 bytes.
  Packer& name(std::string_view text) {
    number(static_cast<std::uint8_t>(text.size()));
    out_ += text;
    return *this;
  }
  Packer& bytes(std::string_view text) {
    number(static_cast<std::uint32_t>(text.size()));
    out_ += text;
    return *this;
  }
  Packer& rest(std::string_view text) {
    out_ += text;
    return *this;
  }
  const std::string& out() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Views into what is read. A field that is not there reads as 0 or empty, and fails the whole.
class Unpacker final {
 public:
  explicit Unpacker(std::string_view data) : data_(data) {}

  template <class T>
  T number() {
    static_assert(std::is_unsigned_v<T>);
    const std::string_view field = cut(sizeof(T));
    if (field.empty()) return 0;
    return boost::endian::endian_load<T, sizeof(T), boost::endian::order::big>(
        reinterpret_cast<const unsigned char*>(field.data()));
  }
  std::string_view name() { return cut(number<std::uint8_t>()); }
  std::string_view bytes() { return cut(number<std::uint32_t>()); }
  std::string_view rest() { return cut(data_.size()); }
  std::size_t left() const { return data_.size(); }
  bool failed() const { return failed_; }
  void fail() { failed_ = true; }
  // All was there, and nothing more.
  bool is_done() const { return !failed_ && data_.empty(); }

 private:
  std::string_view cut(std::size_t size) {
    if (failed_ || size > data_.size()) {
      failed_ = true;
      data_ = {};  // who reads on until nothing is left comes to an end
      return {};
    }
    const std::string_view field = data_.substr(0, size);
    data_.remove_prefix(size);
    return field;
  }

  std::string_view data_;
  bool failed_ = false;
};

}  // namespace appserver::gateway
