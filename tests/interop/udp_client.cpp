// The recipe's connectionless client: asks for a line, sends it as one datagram, ends.
//
//     udp_client HOST PORT

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <string>

int main(int argc, char *argv[]) {
    if (argc < 3) {
        std::cerr << "usage: udp_client HOST PORT\n";
        return 2;
    }
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(argv[1], argv[2], &hints, &found) != 0) return 1;
    int sock = socket(found->ai_family, found->ai_socktype, 0);
    std::cout << "What message for the server? : " << std::flush;
    std::string line;
    std::getline(std::cin, line);
    ssize_t sent = sendto(sock, line.data(), line.size(), 0, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    close(sock);
    return sent == static_cast<ssize_t>(line.size()) ? 0 : 1;
}
