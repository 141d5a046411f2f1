# cmake -DLOG=warnings.txt -P check.cmake
#
# Any warning of Doxygen is an error, with one exception: a documented class or struct may leave a
# member without words if its name says it all. The fields of options may not: they state meaning,
# unit and default.
file(STRINGS "${LOG}" lines)
set(faults "")
foreach(line IN LISTS lines)
  if(line MATCHES ": Member .* of (class|struct) "
     AND NOT line MATCHES " of struct [A-Za-z_:]*(Options|Limits) ")
    continue()
  endif()
  string(APPEND faults "\n${line}")
endforeach()
if(NOT faults STREQUAL "")
  message(FATAL_ERROR "${faults}")
endif()
