// SPDX-License-Identifier: MIT
/// @file
/// Sorting finite numbers, alone, with the permutation that sorts them, or with a number of each.
///
/// Method: bucket sort on the linear image (x - min) scale, with 8 to 16 buckets per entry. Samples
/// of a density with bounded peaks fall into it almost evenly, so one or two stable counting passes
/// leave little to the insertion sort that ends it, whatever the width of the scalar. Inputs beyond
/// the cache are first split into 256 parts by the same image. If entries crowd into few buckets,
/// they are split by their order-preserving integer image, in which heavy tails and clusters come
/// apart, and every part is sorted by its own linear image; parts that still crowd after three
/// splits, and floats that do not need one, end in a radix sort of all bits. O(n) in all cases.
/// Sorted input is recognised by the pass that finds min and max.
///
/// Everything is stable: among equal entries the lowest index comes first, and -0 equals 0. No
/// allocation once the scratch has seen the size.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <vector>

#include <monge/core/simd.hpp>
#include <monge/core/types.hpp>

namespace monge::detail {

/// An entry on its way to its place, with its index or another tag.
template <RealScalar S, class Tag = std::int32_t>
struct SortEntry {
  S value;
  Tag tag;
};

/// What sorts reuse; grows to the longest input seen. A plain value; each thread needs its own.
template <RealScalar S>
struct SortScratch {
  VectorX<S> values;
  std::vector<SortEntry<S>> entries;
  std::vector<SortEntry<S, S>> companions;
  std::vector<std::uint32_t> counts;

  /// Room for n entries with such a tag.
  template <class Tag>
  SortEntry<S, Tag>* room(Index n) {
    auto const grown = [n](auto& v) {
      if (v.size() < std::size_t(n)) v.resize(std::size_t(n));
      return v.data();
    };
    if constexpr (std::same_as<Tag, S>) {
      return grown(companions);
    } else {
      return grown(entries);
    }
  }

  /// n counters, all 0.
  std::uint32_t* zeros(Index n) {
    if (counts.size() < std::size_t(n)) counts.resize(std::size_t(n));
    std::fill_n(counts.data(), n, 0u);
    return counts.data();
  }
};

/// Entries without their index.
template <RealScalar S>
struct Keys {
  using Scalar = S;
  S* x;

  [[nodiscard]] S value(Index k) const { return x[k]; }
  [[nodiscard]] S load(Index k) const { return x[k]; }
  void store(Index k, S entry) const { x[k] = entry; }
  [[nodiscard]] S* data() const { return x; }
  [[nodiscard]] Keys from(Index k) const { return {x + k}; }
  static Keys room(SortScratch<S>& scratch, Index n) {
    if (scratch.values.size() < n) scratch.values.resize(n);
    return {scratch.values.data()};
  }
};

/// Entries on their way, value beside tag: one cache line is touched per move.
template <RealScalar S, class Tag>
struct Entries {
  using Scalar = S;
  SortEntry<S, Tag>* entries;

  [[nodiscard]] S value(Index k) const { return entries[k].value; }
  [[nodiscard]] SortEntry<S, Tag> load(Index k) const { return entries[k]; }
  void store(Index k, SortEntry<S, Tag> entry) const { entries[k] = entry; }
  [[nodiscard]] Entries from(Index k) const { return {entries + k}; }
  [[nodiscard]] SortEntry<S, Tag>* data() const { return entries; }
};

/// Entries in the caller's two arrays.
template <RealScalar S, class Tag>
struct TaggedKeys {
  using Scalar = S;
  S* x;
  Tag* tags;

  [[nodiscard]] S value(Index k) const { return x[k]; }
  [[nodiscard]] SortEntry<S, Tag> load(Index k) const { return {x[k], tags[k]}; }
  void store(Index k, SortEntry<S, Tag> entry) const {
    x[k] = entry.value;
    tags[k] = entry.tag;
  }
  [[nodiscard]] TaggedKeys from(Index k) const { return {x + k, tags + k}; }
  static Entries<S, Tag> room(SortScratch<S>& scratch, Index n) {
    return {scratch.template room<Tag>(n)};
  }
};
template <RealScalar S>
using KeysWithOrder = TaggedKeys<S, std::int32_t>;

/// Where the entries lie, and whether they are sorted already.
template <RealScalar S>
struct Extent {
  S low, high;
  bool sorted;
};

/// One vectorised pass over n >= 1 entries.
template <RealScalar S>
Extent<S> extent(S const* x, Index n) {
  using V = simd::pack_t<S>;
  constexpr Index step = simd::lanes<S>;
  S low = x[0], high = x[0];
  bool sorted = true;
  Index k = 0;
  if (n > step) {
    V lows = simd::broadcast(low), highs = lows, descents = simd::broadcast(S(0));
    for (; k + step < n; k += step) {
      V const here = simd::load(x + k), next = simd::load(x + k + 1);
      lows = here < lows ? here : lows;
      highs = here > highs ? here : highs;
      descents = next < here ? simd::broadcast(S(1)) : descents;
    }
    S entries[2][step];
    simd::store<S>(entries[0], lows);
    simd::store<S>(entries[1], highs);
    for (Index lane = 0; lane < step; ++lane) {
      low = std::min(low, entries[0][lane]);
      high = std::max(high, entries[1][lane]);
    }
    sorted = !simd::any_above<S>(descents, S(0));
  }
  for (; k < n; ++k) {
    low = std::min(low, x[k]);
    high = std::max(high, x[k]);
    sorted = sorted && (k + 1 == n || !(x[k + 1] < x[k]));
  }
  return {low, high, sorted};
}

/// The same for entries on their way.
template <RealScalar S, class Tag>
Extent<S> extent(Entries<S, Tag> view, Index n) {
  if (n == 0) return {S(0), S(0), true};
  Extent<S> range{view.value(0), view.value(0), true};
  for (Index k = 1; k < n; ++k) {
    S const x = view.value(k);
    range.sorted = range.sorted && !(x < view.value(k - 1));
    range.low = x < range.low ? x : range.low;
    range.high = x > range.high ? x : range.high;
  }
  return range;
}
template <RealScalar S>
Extent<S> extent(Keys<S> view, Index n) {
  return extent(view.x, n);
}
template <RealScalar S, class Tag>
Extent<S> extent(TaggedKeys<S, Tag> view, Index n) {
  return extent(view.x, n);
}

/// The bucket of an entry: monotone, 0 at the lowest, below 2^bits at the highest. `usable` is
/// false if the width of the range overflows or vanishes.
template <RealScalar S>
struct LinearImage {
  S low, scale;

  LinearImage(Extent<S> const& range, int bits)
      : low(range.low), scale(S((std::int32_t(1) << bits) - 1) / (range.high - range.low)) {}
  [[nodiscard]] bool usable() const {
    return scale > 0 && scale < std::numeric_limits<S>::infinity();
  }
  std::uint32_t operator()(S x) const { return std::uint32_t(std::int32_t((x - low) * scale)); }
};

/// Unsigned integers in the order of the entries.
template <RealScalar S>
auto ordered_bits(S x) {
  using Signed = simd::bits_t<S>;
  using Unsigned = std::make_unsigned_t<Signed>;
  constexpr int top = int(8 * sizeof(S)) - 1;
  auto const bits = std::bit_cast<Signed>(x + S(0));  // -0 becomes 0
  return Unsigned(Unsigned(bits) ^ (Unsigned(bits >> top) | (Unsigned(1) << top)));
}

/// Counts become first places.
inline void accumulate_counts(std::uint32_t* counts, Index buckets) {
  std::uint32_t place = 0;
  for (Index k = 0; k < buckets; ++k) {
    std::uint32_t const count = counts[k];
    counts[k] = place;
    place += count;
  }
}

/// visit(k, bucket) for all entries: the buckets of a block are found first, which vectorises and
/// keeps the chain of loads and stores of the counters short.
template <class From, class Bucket, class Visit>
void for_each_bucket(From from, Index n, Bucket bucket, Visit visit) {
  constexpr Index block = 64;
  std::uint32_t buckets[block];
  Index first = 0;
  for (; first + block <= n; first += block) {
    for (Index k = 0; k < block; ++k) buckets[k] = bucket(from.value(first + k));
    for (Index k = 0; k < block; ++k) visit(first + k, buckets[k]);
  }
  for (; first < n; ++first) visit(first, bucket(from.value(first)));
}

/// One stable counting pass: every entry goes to the next place of its bucket.
template <class From, class To, class Bucket>
void scatter(From from, To to, Index n, std::uint32_t* places, Bucket bucket) {
  for_each_bucket(from, n, bucket, [from, to, places](Index k, std::uint32_t b) {
    to.store(Index(places[b]++), from.load(k));
  });
}

template <class From, class To>
void copy_entries(From from, To to, Index n) {
  for (Index k = 0; k < n; ++k) to.store(k, from.load(k));
}

/// Of two entries the smaller, of equal ones that of lower index.
struct ByValueAndIndex {
  template <RealScalar S>
  bool operator()(SortEntry<S> const& a, SortEntry<S> const& b) const {
    return a.value < b.value || (a.value == b.value && a.tag < b.tag);
  }
};
struct ByValue {
  template <RealScalar S, class Tag>
  bool operator()(SortEntry<S, Tag> const& a, SortEntry<S, Tag> const& b) const {
    return a.value < b.value;
  }
  template <RealScalar S>
  bool operator()(S a, S b) const {
    return a < b;
  }
};

/// Ends the sort of entries that stand near their places; false once it has moved more than
/// `budget` of them, which leaves a permutation of them.
template <class View, class Before = ByValue>
bool insertion_sort(View view, Index n, Index budget, Before before = {}) {
  for (Index k = 1; k < n; ++k) {
    auto const entry = view.load(k);
    if (!before(entry, view.load(k - 1))) continue;
    Index j = k;
    do {
      view.store(j, view.load(j - 1));
      --j;
    } while (j > 0 && before(entry, view.load(j - 1)));
    view.store(j, entry);
    budget -= k - j;
    if (budget < 0) return false;
  }
  return true;
}

/// Counting passes on the linear image, then insertion; false if the entries are too crowded.
template <class View, class Room, RealScalar S>
bool bucket_sort(View view, Room room, Extent<S> const& range, Index n, SortScratch<S>& scratch) {
  // Measured at n = 1e2 to 1e6: fewer buckets cost more in insertion than they save.
  int const size = int(std::bit_width(std::size_t(n)));
  bool const once = size <= 9;
  int const bits = std::min(once ? size + 1 : size + 3, 24);
  LinearImage<S> const image(range, bits);
  if (!image.usable()) return false;
  if (once) {
    std::uint32_t* const counts = scratch.zeros(Index(1) << bits);
    for_each_bucket(view, n, image, [counts](Index, std::uint32_t b) { ++counts[b]; });
    accumulate_counts(counts, Index(1) << bits);
    scatter(view, room, n, counts, image);
    copy_entries(room, view, n);
  } else {
    int const low_bits = bits / 2;
    Index const lows = Index(1) << low_bits, highs = Index(1) << (bits - low_bits);
    std::uint32_t const mask = std::uint32_t(lows - 1);
    std::uint32_t* const low = scratch.zeros(lows + highs);
    std::uint32_t* const high = low + lows;
    for_each_bucket(view, n, image, [low, high, mask, low_bits](Index, std::uint32_t b) {
      ++low[b & mask];
      ++high[b >> low_bits];
    });
    double moves = 0;  // that insertion expects if each high bucket is evenly filled
    for (Index k = 0; k < highs; ++k) moves += double(high[k]) * double(high[k]);
    if (moves > 4 * double(n) * double(lows)) return false;
    accumulate_counts(low, lows);
    accumulate_counts(high, highs);
    scatter(view, room, n, low, [image, mask](S x) { return image(x) & mask; });
    scatter(room, view, n, high, [image, low_bits](S x) { return image(x) >> low_bits; });
  }
  return insertion_sort(view, n, 2 * n + 100);
}

/// Radix sort on all bits of the integer image, 11 per pass; digits that all entries share are
/// skipped.
template <class View, class Room, RealScalar S>
void radix_sort(View view, Room room, Index n, SortScratch<S>& scratch) {
  constexpr int digit_bits = 11, passes = (8 * int(sizeof(S)) + digit_bits - 1) / digit_bits;
  constexpr Index digits = Index(1) << digit_bits;
  std::uint32_t* const counts = scratch.zeros(passes * digits);
  auto const digit_of = [](S x, int pass) {
    return std::uint32_t((ordered_bits(x) >> (pass * digit_bits)) & (digits - 1));
  };
  for (Index k = 0; k < n; ++k) {
    for (int pass = 0; pass < passes; ++pass) {
      ++counts[pass * digits + digit_of(view.value(k), pass)];
    }
  }
  bool away = false;
  for (int pass = 0; pass < passes; ++pass) {
    std::uint32_t* const places = counts + pass * digits;
    if (places[digit_of(view.value(0), pass)] == std::uint32_t(n)) continue;
    accumulate_counts(places, digits);
    auto const bucket = [digit_of, pass](S x) { return digit_of(x, pass); };
    away ? scatter(room, view, n, places, bucket) : scatter(view, room, n, places, bucket);
    away = !away;
  }
  if (away) copy_entries(room, view, n);
}

inline constexpr int split_bits = 8;
/// Longer inputs are sorted faster in parts: measured.
template <RealScalar S>
inline constexpr Index cached_entries = (Index(1) << 22) / Index(sizeof(SortEntry<S>));

/// The leading bits in which entries of a range differ, as an integer image.
template <RealScalar S>
struct LeadingBits {
  decltype(ordered_bits(S(0))) low;
  int shift;

  explicit LeadingBits(Extent<S> const& range) : low(ordered_bits(range.low)) {
    int const width = int(std::bit_width(decltype(low)(ordered_bits(range.high) - low)));
    shift = std::max(width - split_bits, 0);
  }
  std::uint32_t operator()(S x) const { return std::uint32_t((ordered_bits(x) - low) >> shift); }
};

template <class View, class Room, RealScalar S>
void sort_entries(View view, Room room, Extent<S> const& range, Index n, SortScratch<S>& scratch,
                  int splits = 0);

/// Splits the entries by their image, below 2^split_bits, and sorts the parts. With `even` it does
/// nothing and returns false if one part would hold a quarter of them.
template <class View, class Room, RealScalar S, class Image>
bool split(View view, Room room, Index n, Image image, bool even, SortScratch<S>& scratch,
           int splits) {
  constexpr Index parts = Index(1) << split_bits;
  std::uint32_t places[parts] = {};
  for_each_bucket(view, n, image, [&places](Index, std::uint32_t part) { ++places[part]; });
  if (even && Index(*std::max_element(places, places + parts)) > n / 4) return false;
  accumulate_counts(places, parts);
  scatter(view, room, n, places, image);
  Index begin = 0;
  for (Index end : places) {  // where the next part begins
    Index const count = end - begin;
    View const part = view.from(begin);
    copy_entries(room.from(begin), part, count);
    if (count > 1) {
      Extent<S> const range = extent(part, count);
      if (!range.sorted) sort_entries(part, room.from(begin), range, count, scratch, splits + 1);
    }
    begin = end;
  }
  return true;
}

template <class View, class Room, RealScalar S>
void sort_entries(View view, Room room, Extent<S> const& range, Index n, SortScratch<S>& scratch,
                  int splits) {
  constexpr Index short_enough = 40;  // measured: sorted faster without buckets
  constexpr Index cached = cached_entries<S>;
  if (n <= short_enough) {
    insertion_sort(view, n, n * n);
    return;
  }
  if (n <= cached) {
    if (bucket_sort(view, room, range, n, scratch)) return;
  } else {
    LinearImage<S> const image(range, split_bits);
    if (image.usable() && split(view, room, n, image, true, scratch, splits)) return;
  }
  if constexpr (sizeof(S) > 8) {
    copy_entries(view, room, n);
    std::stable_sort(room.data(), room.data() + n, ByValue{});
    copy_entries(room, view, n);
  } else if (splits < 3 && (sizeof(S) > 4 || n > cached)) {
    split(view, room, n, LeadingBits<S>(range), false, scratch, splits);
  } else {
    radix_sort(view, room, n, scratch);
  }
}

/// x (n), finite, in ascending order.
template <RealScalar S>
void sort(S* x, Index n, SortScratch<S>& scratch) {
  if (n < 2) return;
  Extent<S> const range = extent(x, n);
  Keys<S> const view{x};
  if (!range.sorted) sort_entries(view, view.room(scratch, n), range, n, scratch);
}

/// x (n < 2^31), finite, in ascending order, and order (n) with which x[k] was x[order[k]] before.
template <RealScalar S>
void sort_with_order(S* x, std::int32_t* order, Index n, SortScratch<S>& scratch) {
  for (Index k = 0; k < n; ++k) order[k] = std::int32_t(k);
  if (n < 2) return;
  Extent<S> const range = extent(x, n);
  KeysWithOrder<S> const view{x, order};
  if (!range.sorted) sort_entries(view, view.room(scratch, n), range, n, scratch);
}

/// x (n), finite, and a companion (n) of each, as pairs in ascending order of x. The companions
/// move along, which saves the walk through memory that an order costs if it only serves to fetch
/// them, and inputs beyond the cache go to their part of `pairs` at once.
template <RealScalar S>
void sort_pairs(S const* x, S const* companions, SortEntry<S, S>* pairs, Index n,
                SortScratch<S>& scratch) {
  struct Source {
    S const *x, *companions;
    [[nodiscard]] S value(Index k) const { return x[k]; }
    [[nodiscard]] SortEntry<S, S> load(Index k) const { return {x[k], companions[k]}; }
  };
  if (n == 0) return;
  Source const source{x, companions};
  Entries<S, S> const view{pairs};
  auto const room = [&](Index count) { return Entries<S, S>{scratch.template room<S>(count)}; };
  Extent<S> const range = extent(x, n);
  LinearImage<S> const image(range, split_bits);
  if (!range.sorted && n > cached_entries<S> && image.usable()) {
    constexpr Index parts = Index(1) << split_bits;
    std::uint32_t places[parts] = {};
    for_each_bucket(source, n, image, [&places](Index, std::uint32_t part) { ++places[part]; });
    Index const largest = Index(*std::max_element(places, places + parts));
    if (largest <= n / 4) {
      accumulate_counts(places, parts);
      scatter(source, view, n, places, image);
      Index begin = 0;
      for (Index end : places) {
        Entries<S, S> const part = view.from(begin);
        Extent<S> const of_part = extent(part, end - begin);
        if (!of_part.sorted) sort_entries(part, room(largest), of_part, end - begin, scratch, 1);
        begin = end;
      }
      return;
    }
  }
  copy_entries(source, view, n);
  if (!range.sorted) sort_entries(view, room(n), range, n, scratch);
}

/// The same result as sort_with_order, starting from the order of similar entries, such as those of
/// the last step of a flow. Cheaper if few of them have changed places, a third dearer if not.
template <RealScalar S>
void sort_with_previous_order(S* x, std::int32_t* order, Index n, SortScratch<S>& scratch) {
  if (n < 2) {
    sort_with_order(x, order, n, scratch);
    return;
  }
  KeysWithOrder<S> const view{x, order};
  auto const room = view.room(scratch, n);
  for (Index k = 0; k < n; ++k) room.store(k, {x[order[k]], order[k]});
  copy_entries(room, view, n);
  // A pass that vectorises tells most inputs that insertion would give up on.
  Index descents = 0;
  for (Index k = 1; k < n; ++k) descents += x[k] < x[k - 1];
  if (4 * descents <= n && insertion_sort(view, n, 2 * n, ByValueAndIndex{})) return;
  for (Index k = 0; k < n; ++k) room.store(order[k], view.load(k));
  copy_entries(room, view, n);  // back in the caller's order, so that ties stay in it
  sort_entries(view, room, extent(x, n), n, scratch);
}

}  // namespace monge::detail
