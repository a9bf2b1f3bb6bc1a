// Byte-level BPE ("gpt2"): a pre-tokeniser cuts the text into words, and in each the neighbours of
// the lowest rank merge first, starting from single bytes. Read next: pretokenizer.h, merge.h.
#include <array>
#include <bit>
#include <limits>

#include "runtime/file/concat.h"
#include "runtime/text/pretokenizer.h"
#include "runtime/text/vocabulary_tokenizer.h"

namespace nibble {
namespace {

constexpr std::string_view kMerges = "tokenizer.ggml.merges";

// What two tokens become: a flat hash table.
class MergeTable {
 public:
  void reserve(size_t merges, uint64_t seed) {
    seed_ = seed;
    slots_.assign(std::bit_ceil(merges * 2 + 1), {});
  }
  // The first of several for one pair stays.
  void add(int32_t left, int32_t right, MergedPair merged) {
    Slot& slot = slots_[find_slot(key_of(left, right))];
    if (slot.merged.id < 0) slot = {key_of(left, right), merged};
  }
  MergedPair find(int32_t left, int32_t right) const {
    return slots_[find_slot(key_of(left, right))].merged;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    MergedPair merged;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  size_t find_slot(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = (key ^ seed_) * 0x9E3779B97F4A7C15;
    hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15;
    size_t slot = hash >> 32 & mask;
    while (slots_[slot].merged.id >= 0 && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  uint64_t seed_ = 0;
  std::vector<Slot> slots_;
};

class BpeTokenizer final : public VocabularyTokenizer {
 public:
  BpeTokenizer(LoadedVocabulary loaded, const PreTokenizerRule& rule, bool adds_bos,
               const std::vector<std::string>& merges)
      : VocabularyTokenizer(std::move(loaded)), rule_(rule) {
    adds_bos_ = adds_bos && bos_ >= 0;
    if (adds_bos && bos_ < 0) notes_.push_back("the file names no BOS token: none is added");
    size_t missing = 0;
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      byte_ids_[byte] = vocabulary_.find({&c, 1});
      missing += byte_ids_[byte] < 0;
    }
    if (missing > 0) {
      notes_.push_back(concat(missing, " of 256 bytes have no token: in a text they ",
                              unknown_ >= 0 ? "become the unknown token" : "are left out"));
    }
    read_merges(merges);
  }

 protected:
  bool marks_spaces() const override { return false; }

  size_t word_end(std::string_view text, size_t at) const override {
    return next_word(rule_.kind, text, at);
  }

  void encode_word(std::string_view word, Merger* merger,
                   std::vector<int32_t>* out) const override {
    if (rule_.whole_words) {
      if (const int32_t id = vocabulary_.find(word); id >= 0) {
        out->push_back(id);
        return;
      }
    }
    merger->start(word.size());
    for (const char c : word) merger->add(1, byte_ids_[static_cast<uint8_t>(c)]);
    merger->merge([&](const MergeSymbol& left, const MergeSymbol& right, uint32_t) {
      return left.id < 0 || right.id < 0 ? MergedPair() : merges_.find(left.id, right.id);
    });
    merger->each([&](uint32_t, const MergeSymbol& symbol) {
      const int32_t id = symbol.id >= 0 ? symbol.id : unknown_;
      if (id >= 0) out->push_back(id);
    });
  }

 private:
  // A merge is "left right" in the byte-level alphabet; its rank is its place in the list.
  void read_merges(const std::vector<std::string>& merges) {
    merges_.reserve(merges.size(), reinterpret_cast<uintptr_t>(this));
    size_t unusable = 0;
    std::string pair;
    int32_t merged = -1;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const std::string_view merge = merges[rank];
      const size_t space = std::min(merge.find(' ', 1), merge.size());
      pair.clear();
      append_byte_level(merge.substr(0, space), &pair);
      const size_t left_bytes = pair.size();
      append_byte_level(merge.substr(std::min(space + 1, merge.size())), &pair);
      const std::string_view both = pair;
      const int32_t left = vocabulary_.find(both.substr(0, left_bytes));
      const int32_t right = vocabulary_.find(both.substr(left_bytes));
      // Most files list tokens in the order of their merges, which spares the search.
      const int32_t next = merged + 1;
      const bool is_next = vocabulary_.contains(next) && vocabulary_.text(next) == both &&
                           vocabulary_.kind(next) == TokenKind::kNormal;
      merged = is_next ? next : vocabulary_.find(both);
      if (left < 0 || right < 0 || merged < 0) {
        ++unusable;
        continue;
      }
      merges_.add(left, right, {static_cast<uint32_t>(rank), merged});
    }
    if (unusable > 0) {
      notes_.push_back(concat(unusable, " of ", merges.size(),
                              " merges name tokens that are not in the vocabulary: left out"));
    }
  }

  const PreTokenizerRule rule_;
  std::array<int32_t, 256> byte_ids_;
  MergeTable merges_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> load_bpe(const GgufFile& file) {
  NIBBLE_TRY(const std::string pre, file.get_string("tokenizer.ggml.pre", "default"));
  // Files from before this key had one rule for all, GPT-2's.
  const bool is_default = pre == "default";
  auto rule = find_pre_tokenizer(is_default ? "gpt-2" : pre);
  if (!rule) {
    return Error{rule.error().code, concat(file.path(), ": ", rule.error().message)};
  }
  NIBBLE_TRY(const bool adds_bos, file.get_bool("tokenizer.ggml.add_bos_token", rule->adds_bos));
  NIBBLE_TRY(const GgufArray* merges, file.get_array(kMerges));
  if (merges == nullptr || merges->type != GgufType::kString ||
      merges->size() > std::numeric_limits<uint32_t>::max()) {
    return Error{ErrorCode::kData, concat(file.path(), ": key ", quoted(kMerges), ": is ",
                                          merges == nullptr ? "missing" : "not an array of strings",
                                          "; download another file of this model")};
  }
  NIBBLE_TRY(LoadedVocabulary loaded, load_vocabulary(file, VocabularyForm::kByteLevel));
  if (is_default) {
    loaded.notes.push_back(
        "tokenizer.ggml.pre is missing: words are cut as GPT-2 does, which may not be how the "
        "model was trained; a newer file of this model is better");
  }
  return std::shared_ptr<const Tokenizer>(
      std::make_shared<BpeTokenizer>(std::move(loaded), *rule, adds_bos, merges->strings));
}

}  // namespace nibble
