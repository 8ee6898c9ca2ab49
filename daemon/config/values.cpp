#include "config/values.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <thread>

#include "config/problems.hpp"
#include "config/suggest.hpp"

namespace appserver::config {

namespace {

constexpr milliseconds kMaxDuration = std::chrono::hours(24 * 365);
constexpr std::size_t kMaxGroupName = 32;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
// Largest first: the first that divides a value gives its shortest text.
constexpr std::array<Unit, 9> kSizeUnits = {{{"TiB", 1ull << 40},
                                             {"TB", 1'000'000'000'000},
                                             {"GiB", 1ull << 30},
                                             {"GB", 1'000'000'000},
                                             {"MiB", 1ull << 20},
                                             {"MB", 1'000'000},
                                             {"KiB", 1ull << 10},
                                             {"KB", 1000},
                                             {"B", 1}}};

constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 3> kFormats = {"text", "json", "journald"};
constexpr std::array<std::string_view, 3> kInconclusive = {"continue", "rollback", "wait"};
constexpr std::array<std::string_view, 3> kClientCertificates = {"none", "optional", "required"};
constexpr std::array<std::string_view, 2> kTlsVersions = {"1.2", "1.3"};
constexpr std::array<std::string_view, 3> kGroupKinds = {"plain", "gateway", "business"};
constexpr std::array<std::string_view, 2> kDeliveries = {"at_least_once", "at_most_once"};
// `appserverctl reload WORD` means each of these already.
constexpr std::array<std::string_view, 5> kReservedNames = {"abort", "confirm", "continue",
                                                            "status", "watch"};

template <typename Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

// The digits at the front, and the unit behind them.
std::pair<std::string_view, std::string_view> split_unit(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  return {text.substr(0, end), text.substr(end)};
}

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  const auto* const found = std::ranges::find(units, name, &Unit::name);
  return found == units.end() ? nullptr : found;
}

// nullopt on overflow.
std::optional<std::uint64_t> scaled(std::string_view digits, std::uint64_t factor) {
  const auto number = whole_number<std::uint64_t>(digits);
  if (!number || *number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  return *number * factor;
}

template <std::size_t N>
std::string scaled_text(const std::array<Unit, N>& units, std::uint64_t value) {
  const auto* const unit = std::ranges::find_if(
      units, [value](const Unit& candidate) { return value % candidate.factor == 0; });
  return fmt::format("{}{}", value / unit->factor, unit->name);
}

template <typename Enum, std::size_t N>
Parsed<Enum> parse_word(const std::array<std::string_view, N>& words, std::string_view text) {
  const auto* const found = std::ranges::find(words, text);
  if (found != words.end()) return static_cast<Enum>(found - words.begin());
  const auto best = nearest(text, words);
  return wrong_value(listed(words, "or"), text,
                     best ? fmt::format("did you mean '{}'?", *best) : "");
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

}  // namespace

Failure wrong_value(std::string_view what, std::string_view text, std::string_view hint) {
  return failed(fmt::format("expected {}, got {}{}{}", what, in_quotes(text),
                            hint.empty() ? "" : "; ", hint));
}

bool is_null_word(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

std::string DurationRule::expected() const { return "a duration such as 30s"; }

Parsed<milliseconds> DurationRule::parse(std::string_view text) const {
  const auto [digits, name] = split_unit(text);
  if (digits.empty()) return wrong_value(expected(), text);
  const bool zero = name.empty() && whole_number<std::uint64_t>(digits) == 0;
  const Unit* const unit = find_unit(kDurationUnits, zero ? "ms" : name);
  if (unit == nullptr) {
    const auto hint = name.empty() ? fmt::format("add a unit: {0}s or {0}ms", digits)
                                   : std::string("the units are ms, s, m, h and d");
    return wrong_value(expected(), text, hint);
  }
  const auto value = scaled(digits, unit->factor);
  if (!value || *value > static_cast<std::uint64_t>(kMaxDuration.count())) {
    return wrong_value("a duration of at most 365d", text);
  }
  const milliseconds duration(static_cast<milliseconds::rep>(*value));
  if (duration < min)
    return wrong_value(fmt::format("a duration of at least {}", to_text(min)), text);
  return duration;
}

std::string SizeRule::expected() const { return "a size such as 10MiB"; }

Parsed<Bytes> SizeRule::parse(std::string_view text) const {
  const auto [digits, name] = split_unit(text);
  if (digits.empty()) return wrong_value(expected(), text);
  const Unit* const unit = find_unit(kSizeUnits, name.empty() ? "B" : name);
  if (unit == nullptr) {
    return wrong_value(expected(), text, "the units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB");
  }
  const auto value = scaled(digits, unit->factor);
  if (!value) return wrong_value("a size below 2^64 bytes", text);
  if (*value < min.value)
    return wrong_value(fmt::format("a size of at least {}", to_text(min)), text);
  if (*value > max.value)
    return wrong_value(fmt::format("a size of at most {}", to_text(max)), text);
  return Bytes{*value};
}

std::string DurationOrOffRule::expected() const { return "a duration such as 30s, or 0s for off"; }

Parsed<milliseconds> DurationOrOffRule::parse(std::string_view text) const {
  auto duration = DurationRule{}.parse(text);
  if (!duration || *duration == milliseconds{0} || *duration >= min) return duration;
  return wrong_value(fmt::format("0s for off, or a duration of at least {}", to_text(min)), text);
}

std::string SizeOrOffRule::expected() const { return "a size such as 512MiB, or 0 for off"; }

Parsed<Bytes> SizeOrOffRule::parse(std::string_view text) const {
  auto size = SizeRule{}.parse(text);
  if (!size || (*size).value == 0 || (*size).value >= min.value) return size;
  return wrong_value(fmt::format("0 for off, or a size of at least {}", to_text(min)), text);
}

std::string IntegerRule::expected() const {
  return fmt::format("a number from {} to {}", min, max);
}

Parsed<std::int64_t> IntegerRule::parse(std::string_view text) const {
  const auto number = whole_number<std::int64_t>(text);
  if (!number || *number < min || *number > max) return wrong_value(expected(), text);
  return *number;
}

std::string CountRule::expected() const {
  return fmt::format("a number from 1 to {}, or auto", kMaxWorkers);
}

Parsed<std::uint32_t> CountRule::parse(std::string_view text) const {
  if (text == "auto") return usable_processors();
  const auto number = whole_number<std::uint32_t>(text);
  if (!number || *number < 1 || *number > kMaxWorkers) return wrong_value(expected(), text);
  return *number;
}

std::string BooleanRule::expected() const { return "true or false"; }

Parsed<bool> BooleanRule::parse(std::string_view text) const {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return wrong_value(expected(), text);
}

std::string LogLevelRule::expected() const { return listed(kLevels, "or"); }
Parsed<LogLevel> LogLevelRule::parse(std::string_view text) const {
  return parse_word<LogLevel>(kLevels, text);
}

std::string LogFormatRule::expected() const { return listed(kFormats, "or"); }
Parsed<LogFormat> LogFormatRule::parse(std::string_view text) const {
  return parse_word<LogFormat>(kFormats, text);
}

std::string InconclusiveRule::expected() const { return listed(kInconclusive, "or"); }
Parsed<Inconclusive> InconclusiveRule::parse(std::string_view text) const {
  return parse_word<Inconclusive>(kInconclusive, text);
}

std::string ClientCertificatesRule::expected() const { return listed(kClientCertificates, "or"); }
Parsed<ClientCertificates> ClientCertificatesRule::parse(std::string_view text) const {
  return parse_word<ClientCertificates>(kClientCertificates, text);
}

std::string TlsVersionRule::expected() const { return listed(kTlsVersions, "or"); }
Parsed<TlsVersion> TlsVersionRule::parse(std::string_view text) const {
  return parse_word<TlsVersion>(kTlsVersions, text);
}

std::string GroupKindRule::expected() const { return listed(kGroupKinds, "or"); }
Parsed<GroupKind> GroupKindRule::parse(std::string_view text) const {
  return parse_word<GroupKind>(kGroupKinds, text);
}

std::string DeliveryRule::expected() const { return listed(kDeliveries, "or"); }
Parsed<Delivery> DeliveryRule::parse(std::string_view text) const {
  return parse_word<Delivery>(kDeliveries, text);
}

std::string AddressRangeRule::expected() const {
  return "a network such as 10.0.0.0/8, an address, or unix";
}

Parsed<os::AddressRange> AddressRangeRule::parse(std::string_view text) const {
  std::string hint;
  auto range = os::AddressRange::parse(text, hint);
  if (!range) return wrong_value(expected(), text, hint);
  return std::move(*range);
}

std::vector<os::AddressRange> proxies_of_this_machine() {
  std::vector<os::AddressRange> ranges;
  for (const std::string_view text : {"127.0.0.0/8", "::1", "unix"}) {
    ranges.push_back(*AddressRangeRule{}.parse(text));
  }
  return ranges;
}

std::string TextRule::expected() const { return std::string(what); }

Parsed<std::string> TextRule::parse(std::string_view text) const {
  if (text.empty()) return wrong_value(what, text);
  if (text.find('\0') != std::string_view::npos)
    return wrong_value(what, text, "it has a NUL byte");
  return std::string(text);
}

std::string AccountRule::expected() const { return "the name or number of an account"; }

Parsed<std::string> AccountRule::parse(std::string_view text) const {
  if (text.empty() || has_control(text) || text.find_first_of(" :/") != std::string_view::npos ||
      text.front() == '-') {
    return wrong_value(expected(), text);
  }
  return std::string(text);
}

std::string ProbeRule::expected() const { return "a path such as /healthz"; }

Parsed<std::string> ProbeRule::parse(std::string_view text) const {
  const bool visible = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  if (!text.starts_with('/')) return wrong_value(expected(), text, "it begins with '/'");
  if (!visible)
    return wrong_value(expected(), text, "percent-encode spaces and letters beyond ASCII");
  if (text.find('#') != std::string_view::npos) return wrong_value(expected(), text, "without '#'");
  return std::string(text);
}

std::string_view to_word(LogLevel level) { return kLevels.at(static_cast<std::size_t>(level)); }
std::string_view to_word(LogFormat format) { return kFormats.at(static_cast<std::size_t>(format)); }
std::string_view to_word(Inconclusive policy) {
  return kInconclusive.at(static_cast<std::size_t>(policy));
}

std::string_view to_word(ClientCertificates wanted) {
  return kClientCertificates.at(static_cast<std::size_t>(wanted));
}
std::string_view to_word(TlsVersion version) {
  return kTlsVersions.at(static_cast<std::size_t>(version));
}

std::string_view to_word(GroupKind kind) { return kGroupKinds.at(static_cast<std::size_t>(kind)); }

std::string_view to_word(Delivery delivery) {
  return kDeliveries.at(static_cast<std::size_t>(delivery));
}

std::string to_text(milliseconds duration) {
  const auto value = static_cast<std::uint64_t>(duration.count());
  return value == 0 ? "0s" : scaled_text(kDurationUnits, value);
}

std::string to_text(Bytes size) {
  return size.value == 0 ? "0" : scaled_text(kSizeUnits, size.value);
}

std::uint32_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // EINVAL: the machine has more processors than the set, whose size is our upper bound anyway.
  const int count = ::sched_getaffinity(0, sizeof set, &set) == 0
                        ? CPU_COUNT(&set)
                        : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp<std::uint32_t>(static_cast<std::uint32_t>(std::max(count, 1)), 1, kMaxWorkers);
}

bool is_group_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxGroupName) return false;
  if (name.front() < 'a' || name.front() > 'z') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_reserved_name(std::string_view name) {
  return std::ranges::find(kReservedNames, name) != kReservedNames.end();
}

}  // namespace appserver::config
