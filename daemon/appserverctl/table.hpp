// Aligned columns. Pure.
#pragma once

#include <string>
#include <vector>

namespace appserver::appserverctl {

struct Column {
  std::string title;
  bool number = false;  // aligned to the right
};

// Titles, then rows, each cell escaped and columns two spaces apart; an empty cell shows as "-". A
// row may be short. Nothing at all without rows.
std::string print_table(const std::vector<Column>& columns,
                        const std::vector<std::vector<std::string>>& rows);

}  // namespace appserver::appserverctl
