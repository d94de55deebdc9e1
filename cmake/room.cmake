# A room is a folder of src/: an object library that may use only the rooms below it.
# upconv_room(NAME SOURCES... [USES rooms...] [LINKS external targets...])
function(upconv_room name)
  cmake_parse_arguments(ROOM "" "" "USES;LINKS" ${ARGN})
  add_library(upconv_room_${name} OBJECT ${ROOM_UNPARSED_ARGUMENTS})
  target_compile_features(upconv_room_${name} PUBLIC cxx_std_20)
  target_include_directories(upconv_room_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  upconv_compile_options(upconv_room_${name})
  foreach(used ${ROOM_USES})
    target_link_libraries(upconv_room_${name} PUBLIC upconv_room_${used})
  endforeach()
  target_link_libraries(upconv_room_${name} PUBLIC ${ROOM_LINKS})
endfunction()

# A program, module or test of whole rooms: what they are compiled to, and what they link.
function(upconv_use_rooms target)
  foreach(room ${ARGN})
    target_link_libraries(${target} PRIVATE upconv_room_${room})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:upconv_room_${room}>)
  endforeach()
endfunction()

# -ffp-contract=off: a fused multiply-add happens only where the code says so. No fast-math anywhere: results are
# promised bit for bit. Generic tuning: -march=native/znver3 made GCC 12 spill the 6x16 tile.
# GCC 12 sees uninitialised members in every inlined std::variant move and overlaps in string appends (GCC bugs 105593,
# 105651): those two warnings are off there, clang keeps looking.
function(upconv_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -ffp-contract=off
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict>
    $<$<BOOL:${UPCONV_WARNINGS_AS_ERRORS}>:-Werror>)
endfunction()

# A library of whole rooms, and the external ones that they link.
function(upconv_collect_rooms library)
  foreach(room ${ARGN})
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:upconv_room_${room}>)
    get_target_property(links upconv_room_${room} LINK_LIBRARIES)
    foreach(link ${links})
      if(NOT link MATCHES "^upconv_room_")
        target_link_libraries(${library} PRIVATE ${link})
      endif()
    endforeach()
  endforeach()
endfunction()

# An installed component upconv::NAME made of whole rooms.
function(upconv_component name)
  add_library(upconv_${name})
  add_library(upconv::${name} ALIAS upconv_${name})
  upconv_collect_rooms(upconv_${name} ${ARGN})
  target_compile_features(upconv_${name} PUBLIC cxx_std_20)
  target_include_directories(upconv_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  if(NOT name STREQUAL "core")
    target_link_libraries(upconv_${name} PUBLIC upconv_core)
  endif()
  set_target_properties(upconv_${name} PROPERTIES EXPORT_NAME ${name} LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()
