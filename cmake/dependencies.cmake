find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(asmjit REQUIRED CONFIG PATHS ${CMAKE_INSTALL_FULL_LIBDIR}/cmake /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/asmjit)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# Debian's libasmjit.a is compiled for executables: of data outside it, it addresses only `stderr`, in a way that a
# shared library cannot. A copy of the archive names a hidden variable of ours instead (src/jit/x86/asmjit_stderr.cc).
get_target_property(asmjit_archive asmjit::asmjit LOCATION)
set(asmjit_pic ${PROJECT_BINARY_DIR}/libasmjit_pic.a)
add_custom_command(
  OUTPUT ${asmjit_pic}
  COMMAND ${CMAKE_OBJCOPY} --redefine-sym stderr=gemmsmith_asmjit_stderr ${asmjit_archive} ${asmjit_pic}
  DEPENDS ${asmjit_archive}
  COMMENT "Making AsmJit fit for a shared library"
  VERBATIM)
add_custom_target(asmjit_pic_archive DEPENDS ${asmjit_pic})
add_library(gemmsmith_asmjit INTERFACE)
add_dependencies(gemmsmith_asmjit asmjit_pic_archive)
target_link_libraries(gemmsmith_asmjit INTERFACE ${asmjit_pic} rt)
target_compile_definitions(gemmsmith_asmjit INTERFACE ASMJIT_STATIC)

# fmt and spdlog: the shared libraries, or their headers where the program must run elsewhere.
if(GEMMSMITH_STATIC_RUN)
  set(gemmsmith_text_libraries fmt::fmt-header-only spdlog::spdlog_header_only)
  set(gemmsmith_data_libraries libzstd.a libxxhash.a)
  add_link_options(-static-libstdc++ -static-libgcc)
else()
  set(gemmsmith_text_libraries fmt::fmt spdlog::spdlog)
  set(gemmsmith_data_libraries PkgConfig::ZSTD PkgConfig::XXHASH)
endif()
