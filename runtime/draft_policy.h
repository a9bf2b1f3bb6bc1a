// Whether a draft model shall draft, and how many tokens: what it gains against what it costs, both
// measured while answering.
//
// One account in seconds. A drafted token that comes true saves a pass of the model; drafting costs
// the draft model's time and the rows that verifying adds to a pass. Drafting goes on while the
// account covers the next draft: it opens with the time of two passes, gets 1 % of the decoding
// time, and keeps what was gained up to a limit. So drafts that are never right cost that much and
// no more. How many tokens to draft is what gives most tokens a second at the acceptance seen of
// late. Read next: draft_model.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

namespace nibble {

class DraftPolicy {
 public:
  // `cost`: what a token of the draft model probably costs, in passes of the model; used until it
  // has been measured.
  explicit DraftPolicy(double cost) : cost_(cost) {}

  // From now on drafts have this length, whatever they cost: for tests.
  void always(size_t length) { always_ = length; }

  // A pass of the model over `rows` tokens took so long. `drafted`: the draft model worked before
  // it, and what it takes beyond a plain pass is a cost too.
  void passed(size_t rows, double seconds, bool drafted) {
    ++passes_;
    const bool after = std::exchange(drafted_, drafted);  // the caches may hold the other model
    if (rows == 1 && !drafted && !after) learn_plain(seconds);
    const double bounded = std::min(seconds, 2 * (pass_s_ + static_cast<double>(rows) * row_s_));
    if (rows > 1) {
      const double more = (bounded - pass_s_) / static_cast<double>(rows - 1);
      row_s_ += kWeight * (std::max(more, 0.0) - row_s_);
    }
    account_s_ += kShare * seconds;
    if (drafted || after) account_s_ -= bounded - pass_s_;
  }

  // The draft model read so many tokens at once.
  void read(size_t tokens, double seconds) {
    learn(seconds / static_cast<double>(tokens), &read_s_);
  }
  // It evaluated so many one after the other, and read some with the first.
  void evaluated(size_t tokens, size_t read, double seconds) {
    const double reading = static_cast<double>(read) * read_s_;
    const auto count = static_cast<double>(tokens);
    account_s_ -= kMargin * std::min(seconds, 2 * (count * token_s() + reading));
    if (seconds > reading) learn((seconds - reading) / count, &token_s_);
  }

  // How many tokens to draft now, at most `most`; the draft model has to read `behind` tokens
  // first.
  size_t length(size_t most, size_t behind) const {
    if (always_ > 0) return std::min(most, always_);
    if (passes_ % kMeasureEvery < kMeasured) return 0;  // plain passes, to compare with
    const double left =
        account_s_ + kCreditPasses * pass_s_ - static_cast<double>(behind) * read_s_;
    const double fits = left / (token_s() + row_s_);
    if (fits < 1) return 0;
    most = static_cast<size_t>(std::min(fits, static_cast<double>(most)));
    size_t best = std::min<size_t>(most, 1);  // even if it does not pay: the account allows a try
    double best_speed = 0;
    double tokens = 1;
    double all_right = 1;
    for (size_t k = 1; k <= most; ++k) {
      all_right *= right_ / judged_;
      tokens += all_right;
      const double speed = tokens / (pass_s_ + static_cast<double>(k) * (token_s() + row_s_));
      if (speed > best_speed) {
        best_speed = speed;
        best = k;
      }
    }
    return best;
  }

  // Whether one more token, which comes true with this chance, is worth drafting and verifying.
  bool is_worth(double chance) const {
    return always_ > 0 || chance * pass_s_ > token_s() + row_s_;
  }

  // Whether drafts have not used up the account: then reading a prompt is worth its time.
  bool is_trusted() const { return account_s_ > -kCreditPasses / 2 * pass_s_; }

  // So many of the proposed tokens came true.
  void judge(size_t proposed, size_t right) {
    const auto wins = static_cast<double>(right);
    account_s_ = std::min(account_s_ + wins * pass_s_, kMostPasses * pass_s_);
    const double judged = wins + (right < proposed ? 1 : 0);
    const double keep = std::max(1 - judged * kForget, 0.5);
    right_ = keep * right_ + wins;
    judged_ = keep * judged_ + judged;
  }

 private:
  static constexpr double kShare = 0.01;      // of decoding time
  static constexpr double kCreditPasses = 2;  // to begin with
  static constexpr double kMostPasses = 8;    // gains kept
  static constexpr double kMargin = 1.2;      // two models displace each other in the caches
  static constexpr double kWeight = 0.25;     // of a new measurement
  static constexpr double kForget = 0.05;
  static constexpr size_t kMeasureEvery = 32;
  static constexpr size_t kMeasured = 3;

  // A moving average which a stall of the machine does not throw.
  static void learn(double seconds, double* average) {
    const double bounded = std::min(seconds, 2 * *average);
    *average = *average == 0 ? seconds : *average + kWeight * (bounded - *average);
  }
  // The first passes are slow, when what they read is not in the caches yet: falls faster than
  // rises.
  void learn_plain(double seconds) {
    if (pass_s_ == 0 || seconds > pass_s_) {
      learn(seconds, &pass_s_);
    } else {
      pass_s_ = (pass_s_ + seconds) / 2;
    }
  }
  double token_s() const { return token_s_ == 0 ? cost_ * pass_s_ : token_s_; }

  double cost_;
  size_t always_ = 0;
  size_t passes_ = 0;
  bool drafted_ = false;  // before the last pass
  double pass_s_ = 0;     // of one row
  double row_s_ = 0;      // of each further row
  double read_s_ = 0;     // of a token that the draft model reads in a batch
  double token_s_ = 0;    // of one that it drafts
  double account_s_ = 0;  // without the credit
  double right_ = 3;      // of judged_, both fading
  double judged_ = 4;
};

}  // namespace nibble
