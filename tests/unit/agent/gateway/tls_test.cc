#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <filesystem>

#include "tests/support/read_text.h"
#include "tests/unit/agent/gateway/gateway_fixture.h"

namespace cryopod::gateway {
namespace {

using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using test::HttpClient;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ToPem(BIO* memory) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(memory);
  return pem;
}

struct Pair {
  std::string certificate;
  std::string key;
};

// A certificate that signs itself, good for a day.
Pair MakePair() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("node"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  BIO* const certificate_pem = BIO_new(BIO_s_mem());
  BIO* const key_pem = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_pem, certificate);
  PEM_write_bio_PrivateKey(key_pem, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {ToPem(certificate_pem), ToPem(key_pem)};
}

// Sends a request over TLS and reads until the end; "" when there is no TLS to be had.
std::string AskOverTls(int fd, const std::string& request) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  std::string response;
  if (SSL_connect(ssl) == 1 &&
      SSL_write(ssl, request.data(), static_cast<int>(request.size())) > 0) {
    std::array<char, 4096> buffer{};
    for (int got = 0; (got = SSL_read(ssl, buffer.data(), static_cast<int>(buffer.size()))) > 0;) {
      response.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  SSL_free(ssl);
  SSL_CTX_free(context);
  return response;
}

class TlsTest : public test::GatewayFixture {
 protected:
  TlsTest() {
    WriteText(certificate_, pair_.certificate);
    WriteText(key_, pair_.key);
  }
  Result<std::optional<TlsServer>> Load() const { return TlsServer::Load(certificate_, key_); }
  void StartWithTls() {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(std::optional<TlsServer> tls, Load());
    StartGateway(std::move(tls));
  }

  const Pair pair_ = MakePair();
  const std::string certificate_ = temp_.path() / "tls.crt";
  const std::string key_ = temp_.path() / "tls.key";
};

TEST_F(TlsTest, RequestsAreAnsweredUnderTls) {
  StartAgent();
  agent_->SetMetrics("long_text " + std::string(300'000, '1') + "\n");
  StartWithTls();
  const HttpClient client(port_);

  const std::string response =
      AskOverTls(client.fd(), "GET /metrics HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(response, ::testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_GT(response.size(), 300'000u);
  EXPECT_THAT(response, HasSubstr("cryopod_gateway_build_info"));
}

TEST_F(TlsTest, WhoDoesNotSpeakTlsIsClosedAndHarmsNobody) {
  options_.timeouts.request = std::chrono::milliseconds(3'000);
  StartWithTls();
  HttpClient plain(port_);
  HttpClient silent(port_);

  plain.Send("GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n");
  EXPECT_TRUE(Eventually([&] { return Ended("tls") == "1"; }));

  const HttpClient client(port_);
  EXPECT_THAT(AskOverTls(client.fd(), "GET /healthz HTTP/1.0\r\n\r\n"), HasSubstr("\r\n\r\nok\n"));
  // A handshake that never begins has its time like any request.
  EXPECT_TRUE(silent.Ended());
  EXPECT_EQ(Ended("request_slow"), "1");
}

TEST_F(TlsTest, FilesThatAreMissingOrHoldSomethingElseAreNamed) {
  WriteText(key_, MakePair().key);
  EXPECT_THAT(Load(),
              StatusIs(Code::kInvalidArgument, AllOf(HasSubstr(key_), HasSubstr(certificate_))));
  WriteText(key_, pair_.certificate);
  EXPECT_THAT(Load(), StatusIs(Code::kInvalidArgument,
                               AllOf(HasSubstr(key_), HasSubstr("no private key"))));
  std::filesystem::remove(key_);
  EXPECT_THAT(Load(), StatusIs(Code::kNotFound, AllOf(HasSubstr("TLS key"), HasSubstr(key_))));

  WriteText(key_, pair_.key);
  WriteText(certificate_, "nothing\n");
  EXPECT_THAT(Load(), StatusIs(Code::kInvalidArgument,
                               AllOf(HasSubstr(certificate_), HasSubstr("no certificate"))));
  std::filesystem::remove(certificate_);
  EXPECT_THAT(Load(), StatusIs(Code::kNotFound,
                               AllOf(HasSubstr("TLS certificate"), HasSubstr(certificate_))));
}

TEST_F(TlsTest, BothFilesAreNamedOrNone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::optional<TlsServer> none, TlsServer::Load("", ""));
  EXPECT_FALSE(none.has_value());
  const auto both = AllOf(HasSubstr("tls_certificate"), HasSubstr("tls_key"));
  EXPECT_THAT(TlsServer::Load("", key_), StatusIs(Code::kInvalidArgument, both));
  EXPECT_THAT(TlsServer::Load(certificate_, ""), StatusIs(Code::kInvalidArgument, both));
}

}  // namespace
}  // namespace cryopod::gateway
