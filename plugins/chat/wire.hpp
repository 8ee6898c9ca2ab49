// What clients and the chat say to each other: one JSON object a message.
//
//   from a client                                     how it is answered
//   {"do":"join","name":N,"room":R,"key":K}           welcome, then what was said last; no
//   {"do":"say","id":I,"text":T}                      said, to all in the room; kept; no
//   {"do":"tell","id":I,"to":N,"text":T}              told, to both; kept; no
//   {"do":"who"}                                      who
//
//   to a client
//   {"is":"welcome","name":N,"room":R,"names":[N,...],"count":C,"history":true}
//   {"is":"said","seq":S,"room":R,"id":I,"name":N,"text":T,"time":MS}
//   {"is":"told","id":I,"name":N,"to":N,"text":T,"time":MS}
//   {"is":"kept","id":I}
//   {"is":"came","room":R,"name":N}, {"is":"left","room":R,"name":N}
//   {"is":"who","room":R,"names":[N,...],"count":C}
//   {"is":"no","do":D,"id":I,"why":TEXT,"again":true}     again: it may go well later
//
// A client that has no answer, or a `no` with `again`, sends the same once more, with the same id:
// it is kept once. A line may be told twice, and before one that was said earlier: `seq` grows with
// each line, and is never another's.
#pragma once

#include <algorithm>
#include <appserver/json.hpp>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chat {

struct Line {
  std::int64_t seq = 0;
  std::int64_t time = 0;  // milliseconds since 1970
  std::string room;
  std::string id;
  std::string name;
  std::string text;
};

// What a client wants. Texts that it did not give are empty.
struct Wish {
  std::string what;
  std::string name;
  std::string room;
  std::string key;
  std::string id;
  std::string to;
  std::string text;
};

// Who a client is, once it has joined. The gateway keeps it as the client's session, so that any
// worker, of this build or another, can go on with it.
struct Member {
  std::string name;
  std::string room;
  std::string key;
};

// Of bytes, texts of an object; nullopt for what is no such object. Boost.JSON has checked that
// they are UTF-8.
inline std::optional<boost::json::object> parse_object(std::string_view bytes) {
  boost::json::parse_options strict;
  strict.max_depth = 2;
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(bytes, error, {}, strict);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

inline std::string text_of(const boost::json::object& object, std::string_view key) {
  const boost::json::value* const found = object.if_contains(key);
  if (found == nullptr || !found->is_string()) return {};
  const auto& text = found->get_string();
  return {text.data(), text.size()};
}

// Line breaks and their like would let one pretend to be another line.
inline std::string without_controls(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return text;
}

inline std::optional<Wish> parse_wish(std::string_view message) {
  const auto object = parse_object(message);
  if (!object) return std::nullopt;
  const auto text = [&](const char* key) { return without_controls(text_of(*object, key)); };
  return Wish{text("do"), text("name"), text("room"), text("key"),
              text("id"), text("to"),   text("text")};
}

inline std::string to_session(const Member& member) {
  appserver::JsonText json;
  json.object().key("name").value(member.name).key("room").value(member.room);
  return json.key("key").value(member.key).end().take();
}

inline std::optional<Member> from_session(std::string_view session) {
  const auto object = parse_object(session);
  if (!object) return std::nullopt;
  Member member{text_of(*object, "name"), text_of(*object, "room"), text_of(*object, "key")};
  if (member.name.empty() || member.room.empty()) return std::nullopt;
  return member;
}

// Names that differ in the case of A to Z only are one.
inline std::string folded(std::string name) {
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

inline std::string said(const Line& line) {
  appserver::JsonText json;
  json.object().key("is").value("said").key("seq").value(line.seq).key("room").value(line.room);
  json.key("id").value(line.id).key("name").value(line.name).key("text").value(line.text);
  return json.key("time").value(line.time).end().take();
}

inline std::string told(const Line& line, std::string_view to) {
  appserver::JsonText json;
  json.object().key("is").value("told").key("id").value(line.id).key("name").value(line.name);
  json.key("to").value(to).key("text").value(line.text);
  return json.key("time").value(line.time).end().take();
}

inline std::string kept(std::string_view id) {
  appserver::JsonText json;
  return json.object().key("is").value("kept").key("id").value(id).end().take();
}

// `what` is "came" or "left".
inline std::string moved(const char* what, const Member& member) {
  appserver::JsonText json;
  json.object().key("is").value(what).key("room").value(member.room);
  return json.key("name").value(member.name).end().take();
}

// The first of them by name, and how many there are.
struct Present {
  std::vector<std::string> names;
  std::size_t count = 0;
};

inline appserver::JsonText& add(appserver::JsonText& json, const Present& present) {
  json.key("names").array();
  for (const std::string& name : present.names) json.value(name);
  return json.end().key("count").value(present.count);
}

inline std::string welcome(const Member& member, const Present& present, bool has_history) {
  appserver::JsonText json;
  json.object().key("is").value("welcome").key("name").value(member.name);
  json.key("room").value(member.room);
  return add(json, present).key("history").value(has_history).end().take();
}

inline std::string who(std::string_view room, const Present& present) {
  appserver::JsonText json;
  json.object().key("is").value("who").key("room").value(room);
  return add(json, present).end().take();
}

inline std::string no(const Wish& wish, std::string_view why, bool again) {
  appserver::JsonText json;
  json.object().key("is").value("no").key("do").value(wish.what).key("id").value(wish.id);
  return json.key("why").value(why).key("again").value(again).end().take();
}

}  // namespace chat
