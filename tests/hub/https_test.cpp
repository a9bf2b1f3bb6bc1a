// HTTPS: a certificate that nobody vouches for is refused, and taken where SSL_CERT_FILE says so.
// The server is openssl's, which tells no length and gives no parts.
#include <sys/prctl.h>

#include <fstream>

#include "tests/cli/child.h"
#include "tests/hub/fake_hub.h"
#include "tools/nibble/hub/pull.h"

namespace nibble::test {
namespace {

class HubHttps : public testing::Test {
 protected:
  ~HubHttps() override {
    unsetenv("SSL_CERT_FILE");
    if (server_ <= 0) return;
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
  }

  bool start_server() {
    const std::string make = "cd " + folder_.path() +
                             " && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert"
                             " -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
                             " >log 2>&1";
    if (std::system(make.c_str()) != 0) return false;
    {
      const FakeHub free_port;  // gone again when the server wants it
      port_ = std::to_string(free_port.port());
    }
    std::filesystem::copy_file(kModel, folder_.file("m.gguf"));
    server_ = fork();
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int log = open(folder_.file("log").c_str(), O_WRONLY | O_APPEND);
      for (const int fd : {1, 2}) dup2(log, fd);
      if (chdir(folder_.path().c_str()) != 0) _exit(1);
      execlp("openssl", "openssl", "s_server", "-accept", port_.c_str(), "-cert", "cert", "-key",
             "key", "-WWW", nullptr);
      _exit(127);
    }
    for (int waited = 0; waited < kPatienceMs; waited += 50) {
      std::ifstream in(folder_.file("log"));
      const std::string log((std::istreambuf_iterator<char>(in)), {});
      if (log.find("ACCEPT") != std::string::npos) return true;
      usleep(50'000);
    }
    return false;
  }

  Folder folder_;
  std::string port_;
  pid_t server_ = -1;
};

TEST_F(HubHttps, ACertificateThatNobodyVouchesForIsRefused) {
  if (std::system("openssl version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no openssl here";
  ASSERT_TRUE(start_server());
  hub::PullOptions options;
  options.places.store = folder_.file("store");
  const std::string url = "https://localhost:" + port_ + "/m.gguf";
  const auto refused = pull_model(url, options, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << refused.error().message;
  EXPECT_NE(refused.error().message.find("SSL_CERT_FILE"), std::string::npos)
      << refused.error().message;
  setenv("SSL_CERT_FILE", folder_.file("cert").c_str(), 1);
  const auto pulled = pull_model(url, options, {});
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(std::filesystem::file_size(pulled->model.path), std::filesystem::file_size(kModel));
}

}  // namespace
}  // namespace nibble::test
