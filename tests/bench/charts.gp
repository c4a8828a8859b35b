# Drawn by charts.py, which sets kind, data, out, names, colours, tics, machine and what else a kind needs.
set terminal svg size 1080,520 dynamic enhanced font 'Helvetica,Arial,sans-serif,13' background '#ffffff'
set output out
set termoption noenhanced
set encoding utf8
set border 3 linecolor '#555555'
set tics nomirror textcolor '#333333'
set grid ytics linecolor '#dddddd'
set key outside right top vertical Left reverse samplen 1.5 spacing 1.25
set bmargin 6
set label 100 machine at screen 0.01, 0.02 left font ',10' textcolor '#777777'
n = words(names)

if (kind eq 'bars') {
    set title 'How many times as fast as '.base.' (upwards: faster; thin lines: least and most of the rounds)'
    set logscale y 2
    set ylabel 'times as fast, log scale'
    set ytics ('1/64' 0.015625, '1/32' 0.03125, '1/16' 0.0625, '1/8' 0.125, '1/4' 0.25, '1/2' 0.5, '1' 1, '2' 2, '4' 4, '8' 8, '16' 16, '32' 32, '64' 64, '128' 128, '256' 256, '512' 512, '1024' 1024)
    most = int(most)
    set yrange [0.015625 < * < 0.5 : 2 < * < most]
    set xrange [-1 : last]
    eval 'set xtics ('.tics.') scale 0 font ",11"'
    set arrow 1 from -1, 1 to last, 1 nohead linecolor '#000000' linewidth 1.5 front
    plot for [i = 1 : n] data index i - 1 using 1:2:($1 - 0.42):($1 + 0.42):2:3 with boxxyerror fillstyle solid 1 noborder linecolor rgb word(colours, i) title word(names, i), \
         for [i = 1 : n] data index i - 1 using 1:4:(0):($5 - $4) with vectors nohead linewidth 1 linecolor rgb '#444444' notitle, \
         for [i = 1 : n] data index i - 1 using 1:(1.06):7 with labels rotate left font ',10' textcolor rgb word(colours, i) notitle
} else {
    set title title
    set logscale xy
    set ylabel unit.', log scale'
    set xlabel xlabel
    set grid xtics ytics linecolor '#dddddd'
    if (descending eq '1') { set xrange [last * 1.25 : least * 0.8] } else { set xrange [least * 0.8 : last * 1.25] }
    eval 'set xtics ('.tics.')'
    set ytics format format
    set autoscale yfix
    set mytics 5
    ours(i) = word(names, i)[1:9] eq 'diskalloc'
    plot for [i = 1 : n] data index i - 1 using 1:2:3:4 with yerrorlines pointtype i + 3 pointsize 0.6 linewidth (ours(i) ? 2.5 : 1.25) linecolor rgb word(colours, i) title word(names, i)
}
