// Memory on nodes, as far as a machine of one node can show it; `tools/dev numa-guest` has two.
#include "runtime/machine/placement.h"

#include <gtest/gtest.h>

#include <cstring>

#include "runtime/machine/node_arena.h"
#include "runtime/machine/topology.h"

namespace nibble {
namespace {

TEST(Placement, PagesAreFoundWhereTheyWereWanted) {
  const int node = detect_topology().node_ids.front();
  auto buffer = Buffer::allocate(64 * page_size_bytes(), "a test");
  ASSERT_TRUE(buffer.ok());
  const int nodes[] = {node};
  if (!place_pages(buffer->as(), buffer->size(), nodes)) GTEST_SKIP() << "mbind is forbidden here";
  EXPECT_EQ(sample_pages(buffer->as(), buffer->size(), node).pages, 0u) << "nothing written yet";
  std::memset(buffer->as(), 1, buffer->size() / 2);
  const PageSample sample = sample_pages(buffer->as(), buffer->size(), node);
  if (sample.pages == 0) GTEST_SKIP() << "move_pages is forbidden here";
  EXPECT_EQ(sample.pages, 32u);
  EXPECT_EQ(sample.right, 32u);
  EXPECT_EQ(sample_pages(buffer->as(), buffer->size(), node + 1).right, 0u) << "wrong is noticed";
  EXPECT_EQ(sample_pages(buffer->as(), buffer->size(), node, 8).pages, 4u) << "evenly chosen";
}

TEST(Placement, NodesThatAreNotThereAreRefusedAndHarmless) {
  auto buffer = Buffer::allocate(16 * page_size_bytes(), "a test");
  ASSERT_TRUE(buffer.ok());
  const int nodes[] = {777};
  EXPECT_FALSE(place_pages(buffer->as(), buffer->size(), nodes));
  std::memset(buffer->as(), 1, buffer->size());
  EXPECT_TRUE(place_pages(buffer->as(), 0, nodes)) << "nothing to do";
  EXPECT_TRUE(place_pages(buffer->as(), buffer->size(), {}));
}

TEST(NodeArena, KeepsItsRegionsApart) {
  NodeArena arena;
  EXPECT_EQ(arena.reserve(0, 100), 0u);
  EXPECT_EQ(arena.reserve(1, 10), 0u);
  EXPECT_EQ(arena.reserve(0, 1), 128u);
  EXPECT_EQ(arena.reserved(), 128u + 64 + 64);
  ASSERT_TRUE(arena.allocate("a test", {}).ok());
  EXPECT_EQ(arena.at(0, 0) + page_size_bytes(), arena.at(1, 0)) << "a page has one node";
  EXPECT_EQ(arena.at(0, 128), arena.at(0, 0) + 128);
  std::memset(arena.at(0, 0), 1, 192);
  std::memset(arena.at(1, 0), 2, 64);
  EXPECT_EQ(arena.sample().pages, 0u) << "no node was asked for";
}

TEST(NodeArena, MayBeEmpty) {
  NodeArena arena;
  EXPECT_TRUE(arena.allocate("a test", {}).ok());
  EXPECT_EQ(arena.sample().pages, 0u);
}

}  // namespace
}  // namespace nibble
