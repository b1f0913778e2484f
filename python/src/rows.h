#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <string_view>
#include <utility>

#include "gemmsmith/bundle.h"

namespace gemmsmith::python {

namespace nb = nanobind;

/// A row of a table: names and values, in this order.
class Row {
 public:
  template <class Value>
  Row&& Add(const char* name, Value&& value) && {
    dict_[name] = std::forward<Value>(value);
    return std::move(*this);
  }
  operator nb::dict() && { return std::move(dict_); }

 private:
  nb::dict dict_;
};

/// One row for each value.
template <class Values, class Make>
nb::list Rows(const Values& values, const Make& make) {
  nb::list list;
  for (const auto& value : values) list.append(nb::dict(make(value)));
  return list;
}

nb::dict BundleRow(const BundleSummary& summary);

inline nb::str Str(std::string_view text) { return nb::str(text.data(), text.size()); }

}  // namespace gemmsmith::python
