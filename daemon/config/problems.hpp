// Collecting everything that is wrong, so that a person sees it all at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace appserver::config {

struct Place {
  std::string file;
  int line = 0;  // from 1; 0: the file as a whole
  int column = 0;
};

// "app.yaml:3:5", or "app.yaml" for a file as a whole.
std::string to_string(const Place& place);

// `text` in single quotes, fit for a terminal: control bytes escaped, cut after 60 bytes.
std::string in_quotes(std::string_view text);

class Problems {
 public:
  // Keeps the first 100; what comes after is counted only.
  void add(const Place& place, std::string message);
  bool empty() const { return problems_.empty(); }
  // On one line: the first one, and how many more there are. Not where it is empty.
  std::string summary() const;

  // In the order of the files and of the lines in each.
  std::vector<Problem> sorted() const;
  // Throws ConfigError if there is any.
  void throw_if_any() const;

 private:
  std::vector<Problem> problems_;
  std::size_t dropped_ = 0;
};

}  // namespace appserver::config
