# embed_files(<out> <folder> <pattern>...): makes one source that defines
#   std::span<const EmbeddedFile> Embedded_<folder>()     (util/embedded.h)
# with the text of each matching file under <folder>, named by its path below it.
function(embed_files out folder)
  set(root ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
  set(files)
  foreach(pattern IN LISTS ARGN)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${root} ${root}/${pattern})
    list(APPEND files ${found})
  endforeach()
  list(SORT files)
  list(TRANSFORM files PREPEND ${root}/ OUTPUT_VARIABLE paths)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${folder}.cc)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DROOT=${root} -DNAME=${folder} "-DFILES=${files}" -DOUTPUT=${source}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    COMMENT "Embedding src/${folder}"
    VERBATIM)
  set(${out} ${source} PARENT_SCOPE)
endfunction()
