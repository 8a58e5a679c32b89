// The recipe's client: connect, read the greeting, ask, write, close.
// usage: client HOST PORT
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: client HOST PORT\n");
        return 2;
    }
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo *found = nullptr;
    int error = getaddrinfo(argv[1], argv[2], &hints, &found);
    if (error != 0) {
        fprintf(stderr, "getaddrinfo: %s\n", gai_strerror(error));
        return 1;
    }
    int connection = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (connection < 0 || connect(connection, found->ai_addr, found->ai_addrlen) < 0) {
        perror("connect");
        return 1;
    }
    freeaddrinfo(found);
    char buffer[128];
    ssize_t count = read(connection, buffer, 127);
    if (count < 0) {
        perror("read");
        return 1;
    }
    buffer[count] = '\0';
    std::cout << buffer << std::endl;
    std::cout << "What message for the server? : ";
    std::string message;
    std::getline(std::cin, message);
    if (write(connection, message.data(), message.size()) < 0) {
        perror("write");
        return 1;
    }
    close(connection);
    return 0;
}
