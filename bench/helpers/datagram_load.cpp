// Sends datagrams as fast as it can: 64 in one call, without waiting for anything.
//
//     datagram_load PORT BYTES SECONDS
//
// Prints one line of JSON: how many were sent.

#include <arpa/inet.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(std::atoi(argv[1]));
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || connect(sock, reinterpret_cast<sockaddr *>(&to), sizeof to) < 0) return 1;
    std::vector<char> body(std::atoi(argv[2]), 'x');
    iovec part{body.data(), body.size()};
    mmsghdr batch[64] = {};
    for (auto &one : batch) {
        one.msg_hdr.msg_iov = &part;
        one.msg_hdr.msg_iovlen = 1;
    }
    auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(argv[3]));
    unsigned long long sent = 0;
    while (std::chrono::steady_clock::now() < end) {
        int count = sendmmsg(sock, batch, 64, 0);
        if (count > 0) sent += count;
    }
    std::printf("{\"sent\": %llu}\n", sent);
    return 0;
}
