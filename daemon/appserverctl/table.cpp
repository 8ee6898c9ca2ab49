#include "appserverctl/table.hpp"

#include <algorithm>

#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using Row = std::vector<std::string>;

void append_row(std::string& out, const std::vector<Column>& columns,
                const std::vector<std::size_t>& widths, const Row& row) {
  const std::size_t begin = out.size();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string padding(widths[i] - width(row[i]), ' ');
    if (i > 0) out += "  ";
    out += columns[i].number ? padding + row[i] : row[i] + padding;
  }
  out.erase(std::max(begin, out.find_last_not_of(' ') + 1));
  out += '\n';
}

}  // namespace

std::string print_table(const std::vector<Column>& columns, const std::vector<Row>& rows) {
  if (rows.empty()) return {};
  std::vector<Row> lines(1);
  for (const Column& column : columns) lines[0].push_back(column.title);
  for (const Row& row : rows) {
    Row& line = lines.emplace_back(columns.size(), "-");
    for (std::size_t i = 0; i < std::min(row.size(), columns.size()); ++i) {
      if (!row[i].empty()) line[i] = escaped(row[i]);
    }
  }
  std::vector<std::size_t> widths(columns.size());
  for (const Row& line : lines) {
    for (std::size_t i = 0; i < columns.size(); ++i)
      widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string out;
  for (const Row& line : lines) append_row(out, columns, widths, line);
  return out;
}

}  // namespace appserver::appserverctl
