# embed_files(<out> <folder> <pattern>...): makes one source that defines
#   std::span<const EmbeddedFile> Embedded_<name>()     (util/embedded.h)
# with the text of each matching file under <folder>, named by its path below it; <name> is the folder's own.
function(embed_files out folder)
  get_filename_component(root ${folder} ABSOLUTE)
  get_filename_component(name ${folder} NAME)
  set(files)
  foreach(pattern IN LISTS ARGN)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${root} ${root}/${pattern})
    list(APPEND files ${found})
  endforeach()
  list(SORT files)
  list(TRANSFORM files PREPEND ${root}/ OUTPUT_VARIABLE paths)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cc)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DROOT=${root} -DNAME=${name} "-DFILES=${files}" -DOUTPUT=${source}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    COMMENT "Embedding ${name}"
    VERBATIM)
  set(${out} ${source} PARENT_SCOPE)
endfunction()

# embed_text(<out> <file> <namespace> <constant>): makes one source that defines
#   extern const std::string_view <namespace>::<constant>
# with the text of the file.
function(embed_text out file namespace constant)
  get_filename_component(name ${file} NAME)
  get_filename_component(root ${file} ABSOLUTE)
  get_filename_component(root ${root} DIRECTORY)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${name}.cc)
  add_custom_command(
    OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DROOT=${root} -DFILES=${name} -DNAMESPACE=${namespace} -DCONSTANT=${constant}
            -DOUTPUT=${source} -P ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    DEPENDS ${root}/${name} ${PROJECT_SOURCE_DIR}/cmake/embed_script.cmake
    COMMENT "Embedding ${name}"
    VERBATIM)
  set(${out} ${source} PARENT_SCOPE)
endfunction()
