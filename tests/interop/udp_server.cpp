// The recipe's connectionless server: takes one datagram from anybody, prints it, ends.
//
//     udp_server PORT        port 0 takes a free one; the port is printed first

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

int main(int argc, char *argv[]) {
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    address.sin_port = htons(argc > 1 ? std::atoi(argv[1]) : 50544);
    if (sock < 0 || bind(sock, reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) {
        std::cerr << "server: cannot bind\n";
        return 1;
    }
    socklen_t length = sizeof address;
    getsockname(sock, reinterpret_cast<sockaddr *>(&address), &length);
    std::cout << "server: waiting on port " << ntohs(address.sin_port) << std::endl;
    char buffer[128];
    ssize_t count = recvfrom(sock, buffer, sizeof buffer - 1, 0, nullptr, nullptr);
    if (count < 0) return 1;
    std::cout << "Got the message:" << std::string(buffer, count) << std::endl;
    close(sock);
    return 0;
}
