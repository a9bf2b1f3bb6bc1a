#include "tools/nibble/bench_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/file/atomic_file.h"

namespace nibble::cli {
namespace {

constexpr double kWidth = 640, kHeight = 340;  // of a panel
constexpr double kLeft = 62, kRight = 160, kTop = 64, kBottom = 52;
constexpr double kPlot = kWidth - kLeft - kRight;  // the legend is to the right
// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"};

template <typename... Args>
std::string print(const char* pattern, Args... args) {
  char text[512];
  std::snprintf(text, sizeof(text), pattern, args...);
  return text;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (static_cast<unsigned char>(c) >= ' ') {
      result += c;
    }
  }
  return result;
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return print("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + escaped(text) +
         "</text>\n";
}

// 1, 2 or 5 times a power of ten, the least that is `value` or more.
double nice(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= value * 0.999) return factor * power;
  }
  return 10 * power;
}

struct Point {
  double x, y, spread, limit;  // limit: 0 when not measured
};

struct Series {
  std::string name;
  std::vector<Point> points;
};

class Panel {
 public:
  Panel(std::string title, std::string x_title)
      : title_(std::move(title)), x_title_(std::move(x_title)) {}

  void add(const std::string& name, const Point& point) {
    const auto is_it = [&](const Series& s) { return s.name == name; };
    auto series = std::find_if(series_.begin(), series_.end(), is_it);
    if (series == series_.end()) series = series_.insert(series, {name, {}});
    series->points.push_back(point);
    top_ = std::max(top_, point.y + point.spread);
    limit_ = std::max(limit_, point.limit);
    low_ = std::min(low_, point.x);
    high_ = std::max(high_, point.x);
  }
  bool empty() const { return series_.empty(); }

  std::string svg(double left) {
    left_ = left + kLeft;
    logarithmic_ = low_ > 0 && high_ >= 8 * low_;
    if (limit_ < 4 * top_) top_ = std::max(top_, limit_);  // else it would flatten the rest
    step_ = nice(top_ / 5);
    top_ = std::ceil(top_ / step_) * step_;
    std::string out = text_at(left_, kTop - 14, "start", title_);
    for (double y = 0; y <= top_ * 1.001; y += step_) {
      out += print("<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", left_, y_at(y), left_ + kPlot);
      out += text_at(left_ - 8, y_at(y) + 4, "end", print("%g", y));
    }
    out += x_axis();
    size_t number = 0;
    for (Series& series : series_) out += line(series.name, series.points, number++);
    return out;
  }

 private:
  double x_at(double x) const {
    if (high_ <= low_) return left_ + kPlot / 2;
    if (logarithmic_) return left_ + kPlot * std::log(x / low_) / std::log(high_ / low_);
    return left_ + kPlot * (x - low_) / (high_ - low_);
  }
  double y_at(double y) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * y / std::max(top_, 1e-9);
  }

  // A tick at every measured place that is not too near the one before.
  std::string x_axis() const {
    std::vector<double> places;
    for (const Series& series : series_) {
      for (const Point& p : series.points) places.push_back(p.x);
    }
    std::sort(places.begin(), places.end());
    std::string out;
    double last = -1e9;
    for (const double x : places) {
      if (x_at(x) < last + 38) continue;
      last = x_at(x);
      out += text_at(last, kHeight - kBottom + 18, "middle", print("%.0f", x));
    }
    return out + text_at(x_at(low_) / 2 + x_at(high_) / 2, kHeight - 12, "middle", x_title_);
  }

  std::string line(const std::string& name, std::vector<Point>& points, size_t number) const {
    std::stable_sort(points.begin(), points.end(),
                     [](const Point& a, const Point& b) { return a.x < b.x; });
    const char* colour = kColours[number % std::size(kColours)];
    std::string path, limit, marks;
    for (const Point& p : points) {
      const double x = x_at(p.x);
      path += print("%s%.1f %.1f", path.empty() ? "M" : "L", x, y_at(p.y));
      if (p.limit > 0 && p.limit <= top_) {
        limit += print("%s%.1f %.1f", limit.empty() ? "M" : "L", x, y_at(p.limit));
      }
      marks += print("<path d=\"M%.1f %.1fV%.1f\"/>", x, y_at(std::max(p.y - p.spread, 0.0)),
                     y_at(p.y + p.spread));
      marks += print("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%.0f tokens: %.2f tokens/s", x,
                     y_at(p.y), p.x, p.y);
      if (p.limit > 0) marks += print(", %.0f %% of the limit", 100 * p.y / p.limit);
      marks += "</title></circle>\n";
    }
    std::string out = print("<g stroke=\"%s\" fill=\"%s\">\n", colour, colour);
    if (!limit.empty()) out += "<path class=\"limit\" d=\"" + limit + "\"/>\n";
    out += "<path class=\"line\" d=\"" + path + "\"/>\n" + marks;
    const double y = kTop + 8 + 17 * static_cast<double>(number);
    out += "<g stroke=\"none\">" + text_at(left_ + kPlot + 14, y, "start", name) + "</g></g>\n";
    return out;
  }

  std::string title_, x_title_;
  std::vector<Series> series_;
  double top_ = 0, limit_ = 0, step_ = 1, low_ = INFINITY, high_ = 0, left_ = 0;
  bool logarithmic_ = false;
};

}  // namespace

Result<void> write_plot(const std::string& path, const std::string& model,
                        const std::vector<BenchRow>& rows) {
  Panel prompts("Reading a prompt, tokens/s", "tokens of the prompt");
  Panel decoding("Writing, tokens/s", "tokens in the context before");
  for (const BenchRow& row : rows) {
    const double limit = row.percent_of_limit ? row.tokens_per_s / *row.percent_of_limit * 100 : 0;
    const auto threads = std::to_string(row.threads) + (row.threads == 1 ? " thread" : " threads");
    const auto x = static_cast<double>(row.decode ? row.depth : row.tokens);
    const Point point = {x, row.tokens_per_s, row.stddev, limit};
    if (row.decode) {
      decoding.add(threads + ", " + std::to_string(row.tokens) + " tokens", point);
    } else {
      prompts.add(threads + (row.depth > 0 ? ", behind " + std::to_string(row.depth) : ""), point);
    }
  }
  double width = 0;
  std::string panels;
  for (Panel* panel : {&prompts, &decoding}) {
    if (panel->empty()) continue;
    panels += panel->svg(width);
    width += kWidth;
  }
  const std::string out =
      print(
          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
          "font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n",
          width, kHeight) +
      "<style>.grid{stroke:#ddd}.line,.limit{fill:none;stroke-width:2}"
      ".limit{stroke-dasharray:3 4;stroke-width:1}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
      text_at(kLeft, 24, "start", model + " (dashed: what the machine's limit would allow)") +
      panels + "</svg>\n";
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_VOID(file.write(0, out.data(), out.size()));
  return file.commit();
}

}  // namespace nibble::cli
