# Everything that is not ours comes from Debian 12; scripts/install-dependencies lists the packages.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED) # module mode, before gRPC: Debian ships no config file for it
find_package(gRPC CONFIG REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(P11KIT REQUIRED p11-kit-1)
pkg_check_modules(TSS2 REQUIRED tss2-esys)
pkg_check_modules(AVAHI REQUIRED IMPORTED_TARGET avahi-client)
if(DOTAGENT_BUILD_TESTS)
  find_package(GTest CONFIG REQUIRED)
endif()

# Asio is headers only, so every file of a program must see it under the same definitions. It looks for aligned_alloc by a macro
# that is there or not depending on what a file includes before; without the last one, one file would free what another took
# from operator new.
add_library(dotagent_asio INTERFACE)
target_compile_definitions(dotagent_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_DISABLE_STD_ALIGNED_ALLOC)
