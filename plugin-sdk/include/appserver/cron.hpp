// Times as crontab(5) writes them; Worker::cron calls a function by them.
#pragma once

#include <appserver/detail/cron_field.hpp>
#include <array>
#include <chrono>
#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace appserver {

// kLocal is the worker's time zone: TZ in its environment, or that of the machine.
enum class CronZone { kLocal, kUtc };

// Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday). Each is *, a
// number, a range a-b, one of the two with a step (*/5, 8-18/2), or a list of these; months and
// days of the week have names (jan, mon). Where both days are given, one of them is enough, as in
// cron(8).
//
// When clocks are set forward, a time that is skipped comes in the first minute after; when they
// are set back, one that comes twice comes the first time only. Where any hour will do ("*/5 * * *
// *") time simply goes on.
class CronExpression {
 public:
  // Throws std::invalid_argument that names the field, also for a time that never comes.
  explicit CronExpression(std::string_view text, CronZone zone = CronZone::kLocal) : zone_(zone) {
    const auto fields = split(text);
    if (fields.size() != detail::kCronFields.size())
      throw std::invalid_argument("cron \"" + std::string(text) + "\": it has " +
                                  std::to_string(fields.size()) +
                                  " fields, not 5: minute hour day-of-month month day-of-week");
    for (std::size_t i = 0; i < fields.size(); ++i)
      fields_.at(i) = detail::parse_cron_field(text, detail::kCronFields.at(i), fields[i]);
    if ((fields_[kWeekday].bits & 1ULL << 7) != 0) fields_[kWeekday].bits |= 1;
    any_hour_ = fields_[kHour].bits == (1ULL << 24) - 1;
    if (!comes_ever())
      throw std::invalid_argument("cron \"" + std::string(text) +
                                  "\": no month of it has such a day of month");
  }

  // The first time after `time`, a whole minute.
  std::chrono::sys_seconds next(std::chrono::sys_seconds time) const {
    std::time_t at = floor_minute(time.time_since_epoch().count()) + kMinuteLength;
    // The 29th of February comes within 8 years; the bound keeps a broken time zone from holding up
    // the loop for ever.
    constexpr std::time_t kHorizon = 9LL * 366 * 86400;
    for (const std::time_t end = at + kHorizon; at < end;) {
      const std::tm now = local(at);
      const bool skipped_one = !any_hour_ && skipped_a_match(at, now);
      if (skipped_one || (matches(now) && (any_hour_ || !comes_again(at, now))))
        return std::chrono::sys_seconds(std::chrono::seconds(at));
      at = step(at, now);
    }
    throw std::runtime_error("cron: no such time within nine years");
  }

 private:
  enum { kMinute, kHour, kDay, kMonth, kWeekday };
  static constexpr std::time_t kMinuteLength = 60;
  static constexpr std::time_t kHourLength = 3600;

  static std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> fields;
    while (!(text = detail::trimmed(text)).empty()) {
      const std::string_view field = text.substr(0, text.find_first_of(" \t"));
      fields.push_back(field);
      text.remove_prefix(field.size());
    }
    return fields;
  }

  static std::time_t floor_minute(std::time_t time) noexcept {
    const std::time_t rest = time % kMinuteLength;
    return time - (rest < 0 ? rest + kMinuteLength : rest);
  }

  std::tm local(std::time_t time) const {
    std::tm result{};
    const bool done = zone_ == CronZone::kUtc ? ::gmtime_r(&time, &result) != nullptr
                                              : ::localtime_r(&time, &result) != nullptr;
    if (!done) throw std::runtime_error("cron: the clock is out of range");
    return result;
  }

  bool has(std::size_t field, int value) const noexcept {
    return (fields_.at(field).bits >> static_cast<unsigned>(value) & 1) != 0;
  }

  bool matches_day(const std::tm& at) const noexcept {
    if (!has(kMonth, at.tm_mon + 1)) return false;
    const bool day = has(kDay, at.tm_mday);
    const bool weekday = has(kWeekday, at.tm_wday);
    if (fields_[kDay].starred || fields_[kWeekday].starred) return day && weekday;
    return day || weekday;
  }

  bool matches(const std::tm& at) const noexcept {
    return has(kMinute, at.tm_min) && has(kHour, at.tm_hour) && matches_day(at);
  }

  // Over what cannot match, an hour at once where the clock is not set meanwhile.
  std::time_t step(std::time_t at, const std::tm& now) const {
    if (matches_day(now) && has(kHour, now.tm_hour)) return at + kMinuteLength;
    const std::time_t hour = at + kHourLength - now.tm_min * kMinuteLength;
    return local(hour).tm_gmtoff == now.tm_gmtoff ? hour : at + kMinuteLength;
  }

  // Whether this minute was there before, the clock having been set back since.
  bool comes_again(std::time_t at, const std::tm& now) const {
    constexpr std::time_t kFarthest = 3 * kHourLength;
    const long set_back = local(at - kFarthest).tm_gmtoff - now.tm_gmtoff;
    return set_back > 0 && local(at - set_back).tm_gmtoff == now.tm_gmtoff + set_back;
  }

  // Whether the clock was set forward to this minute, over one that matches.
  bool skipped_a_match(std::time_t at, const std::tm& now) const {
    const std::tm before = local(at - kMinuteLength);
    const long forward = now.tm_gmtoff - before.tm_gmtoff;
    constexpr long kMost = 3 * kHourLength;
    if (forward <= 0 || forward > kMost) return false;
    for (std::time_t skipped = at; skipped < at + forward; skipped += kMinuteLength) {
      // What the clock would have shown, had it not been set.
      const std::time_t shown = skipped + before.tm_gmtoff;
      std::tm wall{};
      if (::gmtime_r(&shown, &wall) != nullptr && matches(wall)) return true;
    }
    return false;
  }

  bool comes_ever() const noexcept {
    if (fields_[kDay].starred || !fields_[kWeekday].starred) return true;
    constexpr std::array kLongest{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= kLongest.at(static_cast<std::size_t>(month - 1)); ++day) {
        if (has(kMonth, month) && has(kDay, day)) return true;
      }
    }
    return false;
  }

  std::array<detail::CronField, 5> fields_{};
  CronZone zone_;
  bool any_hour_ = false;
};

}  // namespace appserver
